import { TidemarkError } from '../../../kernel/errors.ts'
import type { SearchHit } from '../../../protocol/agents.ts'
import type { Clock } from '../../../kernel/clock.ts'
import type { ApiRequest, Handlers } from '../../api/handlers.ts'
import { kindFacet, NUMBER_END, sessionFacet } from './documents.ts'
import type { SearchIndex } from './indexer.ts'
import { matchText, parseQuery } from './query.ts'
import { cutBestSnippet } from './snippet.ts'

const DEFAULT_LIMIT = 50
/** Milliseconds after which others get their turn. */
const TURN_MS = 8
/** Documents looked up at once, most of which are hits. */
const PIECE = 100

/**
 * Searches shard by shard, newest first, and lets the event loop go on between them. A cursor is the number of the last
 * document looked at: rows that come or change meanwhile neither repeat a hit nor hide one.
 */
export function createSearch(index: SearchIndex, clock: Clock): Pick<Handlers, 'search'> {
  return {
    async search({ query, signal }) {
      const { limit = DEFAULT_LIMIT, session_id: session, kind } = query
      const parsed = parseQuery(query.q)
      const facets = [
        ...(session === undefined ? [] : [sessionFacet(session)]),
        ...(kind === undefined ? [] : [kindFacet(kind)]),
      ]
      const match = matchText(parsed, facets)
      const next = turns(clock, signal)
      const hits: SearchHit[] = []
      let below = readCursor(query)
      // Said of the time before: what was there then and was not indexed may be missing.
      const indexed = index.isWhole()
      for (;;) {
        const found = index.use((documents) => {
          const shard = documents.shardBelow(below)
          if (shard === null) return null
          const asked = Math.min(PIECE, limit + 1 - hits.length)
          const numbers = documents.find(shard, match, below, asked)
          return { shard, numbers, last: numbers.length < asked }
        })
        if (found === null) return { hits, next: null, indexed }
        for (const number of found.numbers) {
          if (hits.length === limit) return { hits, next: writeCursor(below), indexed }
          const hit = index.use((documents, rows) => {
            const key = documents.keyOf(number)
            return key === null ? null : rows.hit(key)
          })
          below = number
          // Gone since it was found, or moved to another session.
          if (hit === null || (session !== undefined && hit.session_id !== session)) continue
          const { texts, ...rest } = hit
          hits.push({ ...rest, snippet: cutBestSnippet(texts, parsed) })
          await next()
        }
        if (found.last) below = found.shard.lowest
        await next()
      }
    },
  }
}

/** Lets others have their turn when enough time has passed, and ends when nobody waits for the answer. */
function turns(clock: Clock, signal: AbortSignal): () => Promise<void> {
  let since = clock.now()
  return async () => {
    if (clock.now() - since < TURN_MS) return
    await new Promise((resolve) => setImmediate(resolve))
    if (signal.aborted) throw new TidemarkError('aborted')
    since = clock.now()
  }
}

const writeCursor = (below: number): string => `n${below.toString(36)}`

function readCursor({ cursor }: ApiRequest<'search'>['query']): number {
  if (cursor === undefined) return NUMBER_END
  const number = Number.parseInt(cursor.slice(1), 36)
  if (!Number.isSafeInteger(number) || number < 0 || number > NUMBER_END || writeCursor(number) !== cursor)
    throw new TidemarkError('bad_request', 'the cursor is none of this list', {
      details: { field: 'cursor' },
    })
  return number
}

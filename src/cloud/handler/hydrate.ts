import { TidemarkError } from '../../kernel/errors.ts'
import { HydratePlace, type HydrateQuery, type HydrateStart } from '../../protocol/pull.ts'
import type { Log } from '../log/log.ts'
import { checkTexts, compileCheck } from '../../http/check.ts'
import { parseJson } from '../../http/json.ts'

const checkPlace = compileCheck(HydratePlace)

/** The place in the header `tidemark-resume`. Throws `bad_request`. */
export function readPlace(header: string): HydratePlace {
  const place = checkPlace(parseJson(Buffer.from(header, 'base64url').toString('utf8')))
  checkTexts(place)
  return place
}

export interface HydrateRun {
  readonly log: Log
  readonly space: string
  readonly query: HydrateQuery
  readonly resume: HydratePlace | undefined
  /** Records of a page. */
  readonly page: number
  readonly signal: AbortSignal | undefined
  /** Throws when the stream may not go on: the cloud stops, or the credentials no longer hold. */
  recheck(): Promise<void>
}

/**
 * The lines of a hydrate, some at a time; the reader's pace is the log's pace. The start is read before this
 * resolves, so that a refusal is an answer and not a broken stream. Only a whole stream has the end line.
 */
export async function startHydrateLines(run: HydrateRun): Promise<AsyncIterable<string>> {
  const { replica, tables } = run.query
  const start = await run.log.startHydrate(run.space, replica, tables, run.resume)
  return hydrateLines(run, start)
}

async function* hydrateLines(run: HydrateRun, start: HydrateStart): AsyncGenerator<string> {
  yield `${JSON.stringify(start)}\n`
  let read = start.head
  let after = run.resume === undefined ? null : { table: run.resume.table, key: run.resume.key }
  for (;;) {
    if (run.signal?.aborted === true) throw new TidemarkError('aborted')
    await run.recheck()
    const page = await run.log.hydratePage(run.space, after, run.page, run.query.tables)
    if (page.head !== read) yield `${JSON.stringify({ read: page.head })}\n`
    read = page.head
    if (page.lines.length === 0 || page.last === null) break
    yield `${page.lines.join('\n')}\n`
    after = page.last
  }
  yield `${JSON.stringify({ end: true })}\n`
}

import { join } from 'node:path'

import { silentLogger } from '../../src/kernel/logger.ts'
import { seededRandom } from '../../src/kernel/random.ts'
import type { SearchPage } from '../../src/protocol/agents.ts'
import { openChangeFeed } from '../../src/daemon/changes/change-feed.ts'
import { startIndexer } from '../../src/daemon/changes/search/indexer.ts'
import { createSearch } from '../../src/daemon/changes/search/search.ts'
import { settle, type AgentsFile } from './agents-file.ts'

export interface SearchQuery {
  readonly q: string
  readonly kind?: 'message' | 'tool_call'
  readonly session_id?: string
  readonly cursor?: string
  readonly limit?: number
}

/** Search as a daemon over one agents.db has it. `shard`: few documents, so that there are several. */
export function openSearchWorld(agents: AgentsFile, { shard = 4, seed = 1 } = {}) {
  const { clock, open, folder } = agents
  const file = join(folder, 'search.db')
  const feed = openChangeFeed({ open, clock, logger: silentLogger })
  const random = seededRandom(seed)
  const index = startIndexer({ file, open, feed, clock, random, logger: silentLogger, shard })
  const { search } = createSearch(index, clock)
  const never = new AbortController().signal
  const ask = async (query: SearchQuery): Promise<SearchPage> =>
    search({ id: undefined, query, body: undefined, signal: never, lastEventId: undefined })
  return {
    file,
    feed,
    index,
    ask,
    /** Other programs' writes are seen and indexed. */
    async catchUp() {
      for (let round = 0; round < 1_000; round++) {
        clock.elapse(250)
        await settle(10)
        if (index.isWhole()) return settle(20)
      }
      throw new Error('the index does not catch up')
    },
    /** Ids of all hits, page by page. */
    async all(query: SearchQuery): Promise<readonly string[]> {
      const ids: string[] = []
      for (let cursor: string | undefined; ;) {
        const page = await ask(cursor === undefined ? query : { ...query, cursor })
        ids.push(...page.hits.map(({ id }) => id))
        if (page.next === null) return ids
        cursor = page.next
      }
    },
    [Symbol.dispose]() {
      index[Symbol.dispose]()
      feed[Symbol.dispose]()
    },
  }
}

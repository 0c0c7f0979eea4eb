import { connectDaemon } from '../../daemon/api/connect.ts'
import type { SearchHit } from '../../protocol/agents.ts'
import type { QueryOf } from '../../protocol/daemon-api.ts'
import type { CliContext } from '../context.ts'
import type { Output } from '../output.ts'
import { showLine, showShort } from '../plain-text.ts'
import { formatAgo } from '../progress.ts'

export interface SearchOptions {
  readonly kind?: 'message' | 'tool_call'
  readonly session?: string
  readonly limit: number
}

/** tidemark search WORDS… */
export async function search(
  context: CliContext,
  words: readonly string[],
  options: SearchOptions,
): Promise<void> {
  const { client } = await connectDaemon(context.folders, context)
  const { kind, session, limit } = options
  const query: QueryOf<'search'> = {
    q: words.join(' '),
    limit,
    ...(kind === undefined ? {} : { kind }),
    ...(session === undefined ? {} : { session_id: session }),
  }
  const { hits, next, indexed } = await client.search({ query, signal: context.signal })
  const now = context.clock.now()
  context.output.result({ hits, next, indexed }, [
    ...hits.flatMap((hit) => describeHit(hit, now, context.output)),
    ...(hits.length === 0 ? ['Nothing was found.'] : []),
    ...(next === null ? [] : ['There is more: raise --limit.']),
    ...(indexed ? [] : ['The index is still being made: there may be more in a while.']),
  ])
}

function describeHit(hit: SearchHit, now: number, output: Output): readonly string[] {
  const what = hit.kind === 'message' ? (hit.role ?? 'message') : (hit.tool_name ?? 'tool call')
  const where = hit.session_title ?? hit.session_id ?? '-'
  return [
    showShort(
      `${what} in ${where} (${hit.session_id ?? '-'}), ${formatAgo(hit.created_at, now)}`,
      output.columns,
    ),
    `    ${emphasise(hit.snippet, output)}`,
  ]
}

/** Before and behind what was found, in a snippet. */
const FOUND = '\u0002'
const FOUND_END = '\u0003'

/** What was found in bold; without colours in brackets, so that it can be seen and heard. */
function emphasise(snippet: string, output: Output): string {
  const parts = snippet.replaceAll(FOUND_END, FOUND).split(FOUND)
  return parts
    .map((part, index) => {
      const shown = showLine(part)
      if (index % 2 === 0) return shown
      const bold = output.bold(shown)
      return bold === shown ? `[${shown}]` : bold
    })
    .join('')
}

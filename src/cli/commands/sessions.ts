import { connectDaemon } from '../../daemon/api/connect.ts'
import type { Session } from '../../protocol/agents.ts'
import type { QueryOf } from '../../protocol/daemon-api.ts'
import type { CliContext } from '../context.ts'
import { showLine, showShort, showText } from '../plain-text.ts'
import { countOf, formatAgo } from '../progress.ts'

export interface SessionFilters {
  readonly source?: string
  readonly status?: string
  readonly project?: string
  readonly archived?: boolean
  readonly limit: number
}

/** tidemark sessions list */
export async function listSessions(context: CliContext, filters: SessionFilters): Promise<void> {
  const { client } = await connectDaemon(context.folders, context)
  const { archived, ...rest } = filters
  const query: QueryOf<'listSessions'> = { ...rest, ...(archived === true ? { archived: 'true' } : {}) }
  const { sessions, next } = await client.listSessions({ query, signal: context.signal })
  const now = context.clock.now()
  const lines = sessions.flatMap((session) => describeSession(session, now, context.output.columns))
  context.output.result({ sessions, next }, [
    ...(lines.length === 0 ? ['There is no session.'] : lines),
    ...(next === null ? [] : ['There are more: raise --limit.']),
  ])
}

function describeSession(session: Session, now: number, columns: number): readonly string[] {
  const about = [
    session.source,
    session.project_name ?? session.project_path,
    session.status,
    session.message_count === null ? null : countOf(session.message_count, 'message'),
    `changed ${formatAgo(session.updated_at, now)}`,
  ].filter((part) => part !== null)
  return [
    showShort(`${session.id}  ${session.title ?? '(no title)'}`, columns),
    showShort(`    ${about.join(', ')}`, columns),
  ]
}

/** tidemark sessions show ID [--messages N]: the session and its last messages. */
export async function showSession(
  context: CliContext,
  id: string,
  options: { readonly messages: number },
): Promise<void> {
  const { client } = await connectDaemon(context.folders, context)
  const { signal, output } = context
  const session = await client.getSession({ id, signal })
  const { messages, next } = await client.listMessages({ id, query: { limit: options.messages }, signal })
  const facts = Object.entries(session).filter(
    ([name, value]) => value !== null && !['id', 'title'].includes(name),
  )
  output.result({ session, messages, next }, [
    output.bold(showLine(`${session.title ?? '(no title)'} (${session.id})`)),
    ...facts.map(([name, value]) => showLine(`  ${name}: ${describeFact(name, value)}`)),
    ...messages.flatMap(({ role, text, created_at: at }) => [
      '',
      output.dim(showLine(`${role ?? '-'}, ${formatAgo(at, context.clock.now())}`)),
      ...(text === null ? [] : [showText(text)]),
    ]),
    ...(next === null ? [] : ['', 'There are more messages: raise --messages.']),
  ])
}

const describeFact = (name: string, value: unknown): string =>
  name.endsWith('_at') && typeof value === 'number' ? new Date(value).toISOString() : String(value)

/** tidemark sessions archive | unarchive ID */
export async function archiveSession(context: CliContext, id: string, archived: boolean): Promise<void> {
  const { client } = await connectDaemon(context.folders, context)
  const options = { id, signal: context.signal }
  const session = await (archived ? client.archiveSession(options) : client.unarchiveSession(options))
  context.output.result({ session }, [
    archived ? `${showLine(session.id)} is in the archive.` : `${showLine(session.id)} is back in the lists.`,
  ])
}

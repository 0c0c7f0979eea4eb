import { readFileSync } from 'node:fs'

import { connectDaemon } from '../../daemon/api/connect.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { toSystemError } from '../../machine/failures.ts'
import { MAX_WAIT_SECONDS, type Approval, type ApprovalStatus } from '../../protocol/approvals.ts'
import type { CliContext } from '../context.ts'
import { EXIT } from '../output.ts'
import { showArgument, showJson, showLine, showShort, showText } from '../plain-text.ts'
import { formatAgo, formatCount } from '../progress.ts'

export interface ApprovalFilters {
  readonly status?: ApprovalStatus
  readonly session?: string
  /** Those of other devices too. */
  readonly all?: boolean
  readonly limit: number
}

/** tidemark approvals list [--all] */
export async function listApprovals(context: CliContext, filters: ApprovalFilters): Promise<void> {
  const { client } = await connectDaemon(context.folders, context)
  const { status, session, all, limit } = filters
  const { approvals, next } = await client.listApprovals({
    query: {
      limit,
      // Else a flood of other devices' rows could hide what waits here.
      ...(all === true ? {} : { owned: 'true' as const }),
      ...(status === undefined ? {} : { status }),
      ...(session === undefined ? {} : { session_id: session }),
    },
    signal: context.signal,
  })
  const now = context.clock.now()
  context.output.result({ approvals, next }, [
    ...approvals.flatMap((approval) => [
      showShort(
        `${approval.id}  ${approval.status}  ${approval.tool_name}, ${formatAgo(approval.created_at, now)}${approval.owned ? '' : ', of another device'}`,
        context.output.columns,
      ),
      showShort(`    ${showJson(approval.tool_input)}`, context.output.columns),
    ]),
    ...(approvals.length === 0 ? ['There is no approval.'] : []),
    ...(next === null ? [] : ['There are more: raise --limit.']),
  ])
}

/** tidemark approvals show ID [--context] */
export async function showApproval(
  context: CliContext,
  id: string,
  options: { readonly context?: boolean },
): Promise<void> {
  const { client } = await connectDaemon(context.folders, context)
  const { signal, output } = context
  const approval = await client.getApproval({ id, signal })
  const text = options.context === true ? await client.readApprovalContext({ id, signal }) : undefined
  output.result({ approval, ...(text === undefined ? {} : { context: text }) }, [
    ...describeApproval(approval, context.clock.now()),
    ...(text === undefined ? [] : ['', showText(text)]),
    ...(approval.status === 'pending' && approval.owned ? ['', describeChoices(showArgument(id))] : []),
  ])
}

const describeChoices = (id: string): string =>
  `Decide: tidemark approvals approve ${id}   or   tidemark approvals deny ${id} --comment WHY`

/** Whole, however long: a person decides by it. */
function describeApproval(approval: Approval, now: number): readonly string[] {
  const { status, decided_by: by, decided_at: at, expires_at: expires, context_size: size } = approval
  return [
    `${showLine(approval.tool_name)}  (${showLine(approval.id)})`,
    `Input: ${showJson(approval.tool_input)}`,
    ...(approval.updated_input === null ? [] : [`Changed to: ${showJson(approval.updated_input)}`]),
    ...(approval.session_id === null ? [] : [`Session: ${showLine(approval.session_id)}`]),
    ...(size === null
      ? []
      : [
          `Context: ${formatCount(size)} bytes${approval.context_type === null ? '' : ` of ${showLine(approval.context_type)}`} (--context shows it)`,
        ]),
    `Asked: ${formatAgo(approval.created_at, now)}`,
    `Status: ${status}${by === null ? '' : `, by ${showLine(by)}`}${at === null ? '' : `, ${formatAgo(at, now)}`}`,
    ...(approval.comment === null ? [] : [`Comment: ${showText(approval.comment)}`]),
    ...(status === 'pending' && expires !== null ? [`Expires: ${new Date(expires).toISOString()}`] : []),
    ...(approval.owned ? [] : ['It belongs to another device, and can be decided only there.']),
  ]
}

/** tidemark approvals approve ID [--comment TEXT] [--input JSON] */
export async function approve(
  context: CliContext,
  id: string,
  options: { readonly comment?: string; readonly input?: string },
): Promise<void> {
  const { client } = await connectDaemon(context.folders, context)
  const { comment, input } = options
  const body = {
    decision: 'approve' as const,
    ...(comment === undefined ? {} : { comment }),
    ...(input === undefined ? {} : { updated_input: parseJson('--input', input) }),
  }
  const approval = await client.decideApproval({ id, body, signal: context.signal })
  context.output.result({ approval }, [`${showLine(id)} is approved.`])
}

/** tidemark approvals deny ID --comment TEXT */
export async function deny(
  context: CliContext,
  id: string,
  { comment }: { readonly comment: string },
): Promise<void> {
  const { client } = await connectDaemon(context.folders, context)
  const body = { decision: 'deny' as const, comment }
  const approval = await client.decideApproval({ id, body, signal: context.signal })
  context.output.result({ approval }, [`${showLine(id)} is denied.`])
}

/** tidemark approvals cancel ID */
export async function cancelApproval(context: CliContext, id: string): Promise<void> {
  const { client } = await connectDaemon(context.folders, context)
  const approval = await client.cancelApproval({ id, signal: context.signal })
  context.output.result({ approval }, [`${showLine(id)} is cancelled.`])
}

export interface RequestOptions {
  readonly id?: string
  readonly input?: string
  readonly context?: string
  readonly session?: string
  readonly expires?: number
  /** Seconds. */
  readonly wait: number
}

/**
 * tidemark approvals request TOOL: asks, waits, and answers the exit code: 0 only for what was approved as it was asked.
 * What is not decided in time stays to be decided, and is asked for again with the same --id. With another input than
 * asked the exit code is 1: who looks at nothing else would run what nobody approved.
 */
export async function requestApproval(
  context: CliContext,
  tool: string,
  options: RequestOptions,
): Promise<number> {
  const { client } = await connectDaemon(context.folders, context)
  const { signal, clock } = context
  const { id, input, session, expires } = options
  const until = clock.now() + options.wait * 1_000
  const left = (): number => Math.max(0, Math.min(MAX_WAIT_SECONDS, Math.ceil((until - clock.now()) / 1_000)))
  const body = {
    tool_name: tool,
    ...(id === undefined ? {} : { id }),
    ...(input === undefined ? {} : { tool_input: parseJson('--input', input) }),
    ...(options.context === undefined ? {} : { context: readText(options.context) }),
    ...(session === undefined ? {} : { session_id: session }),
    ...(expires === undefined ? {} : { expires_in: expires }),
  }
  let approval = await client.createApproval({ body, query: { wait: 0 }, signal })
  if (approval.status === 'pending' && left() > 0)
    context.output.say(`${showLine(approval.id)} waits to be decided.`)
  while (approval.status === 'pending' && left() > 0)
    approval = await client.getApproval({ id: approval.id, query: { wait: left() }, signal })
  context.output.result({ approval }, describeApproval(approval, clock.now()))
  const isChanged = approval.updated_input !== null
  if (approval.status === 'approved' && isChanged)
    context.output.warn('Approved with another input, which is shown above: run that one.')
  return approval.status === 'approved' && !isChanged ? EXIT.done : EXIT.failed
}

function parseJson(option: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new TidemarkError('bad_usage', `${option} takes JSON, such as '{"command":"npm test"}'`)
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8')
  } catch (thrown) {
    throw toSystemError(thrown)
  }
}

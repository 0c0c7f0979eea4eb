import { connectDaemon } from '../../daemon/api/connect.ts'
import type { Rule, RuleInput } from '../../protocol/approvals.ts'
import type { CliContext } from '../context.ts'
import { showLine } from '../plain-text.ts'
import { formatAgo } from '../progress.ts'

/** tidemark rules list */
export async function listRules(context: CliContext): Promise<void> {
  const { client } = await connectDaemon(context.folders, context)
  const { rules } = await client.listRules({ signal: context.signal })
  context.output.result(
    { rules },
    rules.length === 0 ? ['There is no rule: every approval is asked for.'] : rules.map(describeRule),
  )
}

function describeRule({
  id,
  action,
  tool_name: tool,
  command,
  command_prefix: prefix,
  path,
  note,
}: Rule): string {
  const what =
    command !== undefined
      ? `: ${command}`
      : prefix !== undefined
        ? `: ${prefix} …`
        : path !== undefined
          ? ` in ${path}`
          : ', whatever it is called with'
  return showLine(`${id}  ${action} ${tool}${what}${note === null ? '' : `  (${note})`}`)
}

export interface RuleOptions {
  readonly command?: string
  readonly commandPrefix?: string
  readonly path?: string
  readonly note?: string
}

/** tidemark rules add allow|deny|ask TOOL */
export async function addRule(
  context: CliContext,
  action: RuleInput['action'],
  tool: string,
  options: RuleOptions,
): Promise<void> {
  const { client } = await connectDaemon(context.folders, context)
  const { command, commandPrefix, path, note } = options
  const body: RuleInput = {
    action,
    tool_name: tool,
    ...(command === undefined ? {} : { command }),
    ...(commandPrefix === undefined ? {} : { command_prefix: commandPrefix }),
    ...(path === undefined ? {} : { path }),
    ...(note === undefined ? {} : { note }),
  }
  const rule = await client.createRule({ body, signal: context.signal })
  context.output.result({ rule }, [describeRule(rule)])
}

/** tidemark rules remove ID */
export async function removeRule(context: CliContext, id: string): Promise<void> {
  const { client } = await connectDaemon(context.folders, context)
  await client.deleteRule({ id, signal: context.signal })
  context.output.result({ removed: id }, [`${showLine(id)} is removed; what it decided stays decided.`])
}

/** tidemark audit */
export async function showAudit(context: CliContext, options: { readonly limit: number }): Promise<void> {
  const { client } = await connectDaemon(context.folders, context)
  const { entries, next } = await client.listAudit({
    query: { limit: options.limit },
    signal: context.signal,
  })
  const now = context.clock.now()
  context.output.result({ entries, next }, [
    ...(entries.length === 0 ? ['Nothing was decided yet.'] : []),
    ...entries.map(({ at, action, approval_id: approval, rule_id: rule, by }) =>
      showLine(`${formatAgo(at, now).padEnd(16)} ${action} ${approval ?? rule ?? ''} by ${by}`),
    ),
  ])
}

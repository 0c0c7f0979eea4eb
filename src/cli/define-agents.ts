import { Argument, Option } from 'commander'

import type { CommandTable } from './command-table.ts'
import { parseCount, parseCountOrNone } from './option-values.ts'

const limit = (count: number): Option =>
  new Option('--limit <n>', 'at most so many').argParser(parseCount).default(count)

/** tidemark search | sessions … : what the daemon holds of local agents. */
export function defineAgents({ program, define, run }: CommandTable): void {
  define(program, 'search <words...>', 'search messages and tool calls')
    .addOption(new Option('--kind <kind>', 'only these').choices(['message', 'tool_call']))
    .option('--session <id>', 'only in this session')
    .addOption(limit(20))
    .action((words: string[], options) =>
      run(async (context) => (await import('./commands/search.ts')).search(context, words, options))(),
    )
  const sessions = define(program, 'sessions', 'sessions of local agents')
  define(sessions, 'list', 'last changed first')
    .option('--source <name>', 'of this program')
    .option('--status <name>', 'with this status')
    .option('--project <path>', 'in this folder')
    .option('--archived', 'those in the archive')
    .addOption(limit(20))
    .action((options) =>
      run(async (context) => (await import('./commands/sessions.ts')).listSessions(context, options))(),
    )
  define(sessions, 'show <id>', 'one session with its messages')
    .option('--messages <n>', 'at most so many', parseCount, 50)
    .action((id: string, options) =>
      run(async (context) => (await import('./commands/sessions.ts')).showSession(context, id, options))(),
    )
  define(sessions, 'archive <id>', 'leave it out of lists').action((id: string) =>
    run(async (context) => (await import('./commands/sessions.ts')).archiveSession(context, id, true))(),
  )
  define(sessions, 'unarchive <id>', 'take it back into lists').action((id: string) =>
    run(async (context) => (await import('./commands/sessions.ts')).archiveSession(context, id, false))(),
  )
}

/** tidemark approvals … | rules … | audit: who may do what. */
export function defineApprovals({ program, define, run, endWith }: CommandTable): void {
  const approvals = define(program, 'approvals', 'what agents ask to be allowed')
  define(approvals, 'list', 'newest first')
    .addOption(
      new Option('--status <status>', 'only those').choices([
        'pending',
        'approved',
        'denied',
        'expired',
        'cancelled',
      ]),
    )
    .option('--session <id>', 'of this session')
    .option('--all', 'those of other devices too')
    .addOption(limit(20))
    .action((options) =>
      run(async (context) => (await import('./commands/approvals.ts')).listApprovals(context, options))(),
    )
  define(approvals, 'show <id>', 'one of them, whole')
    .option('--context', 'with its context')
    .action((id: string, options) =>
      run(async (context) => (await import('./commands/approvals.ts')).showApproval(context, id, options))(),
    )
  define(approvals, 'approve <id>', 'let it be done; final')
    .option('--comment <text>', 'for who asked')
    .option('--input <json>', 'with this input instead')
    .action((id: string, options) =>
      run(async (context) => (await import('./commands/approvals.ts')).approve(context, id, options))(),
    )
  define(approvals, 'deny <id>', 'forbid it; final')
    .requiredOption('--comment <text>', 'why; for who asked')
    .action((id: string, options) =>
      run(async (context) => (await import('./commands/approvals.ts')).deny(context, id, options))(),
    )
  define(approvals, 'cancel <id>', 'take the question back').action((id: string) =>
    run(async (context) => (await import('./commands/approvals.ts')).cancelApproval(context, id))(),
  )
  define(approvals, 'request <tool>', 'ask and wait; exit code 0 only when it is approved as asked')
    .option('--input <json>', 'what the tool is to be called with')
    .option('--context <file>', 'text that helps to decide (-: from a pipe)')
    .option('--session <id>', 'session it belongs to')
    .option('--id <id>', 'the same id again is the same question')
    .option('--expires <seconds>', 'until it expires', parseCount)
    .option('--wait <seconds>', 'until this command gives up; the question stays', parseCountOrNone, 600)
    .action((tool: string, options) =>
      run(async (context) => {
        endWith(await (await import('./commands/approvals.ts')).requestApproval(context, tool, options))
      })(),
    )

  const rules = define(program, 'rules', 'what is decided without asking; on this device only')
  define(rules, 'list', 'oldest first').action(() =>
    run(async (context) => (await import('./commands/rules.ts')).listRules(context))(),
  )
  define(rules, 'add', 'make one')
    .addArgument(new Argument('<action>', 'what it does').choices(['allow', 'deny', 'ask']))
    .argument('<tool>', 'name of the tool')
    .option('--command <text>', 'exactly this command')
    .option('--command-prefix <words>', 'these words, and any that follow')
    .option('--path <path>', 'this file, or what lies in a folder: end it with /')
    .option('--note <text>', 'why')
    .action((action: 'allow' | 'deny' | 'ask', tool: string, options) =>
      run(async (context) => (await import('./commands/rules.ts')).addRule(context, action, tool, options))(),
    )
  define(rules, 'remove <id>', 'take one back').action((id: string) =>
    run(async (context) => (await import('./commands/rules.ts')).removeRule(context, id))(),
  )
  define(program, 'audit', 'who decided what, and who changed rules')
    .addOption(limit(50))
    .action((options) =>
      run(async (context) => (await import('./commands/rules.ts')).showAudit(context, options))(),
    )
}

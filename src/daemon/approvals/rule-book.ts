import type Database from 'better-sqlite3'

import type { Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { uuidV7, type Random } from '../../kernel/random.ts'
import type { Rule } from '../../protocol/approvals.ts'
import type { Handlers } from '../api/handlers.ts'
import type { Audit } from './audit.ts'
import { requireExact } from './request.ts'
import { requireUsableRule } from './rules/refusals.ts'

/** Every question is put to all of them, and a list of them is one answer. */
export const MAX_RULES = 1_000

type RuleRow = { readonly [Key in keyof Rule]-?: Exclude<Rule[Key], undefined> | null } & Pick<
  Rule,
  'id' | 'action' | 'tool_name' | 'created_at'
>

export interface RuleBook {
  /** Oldest first. */
  rulesFor(toolName: string): readonly Rule[]
  readonly handlers: Pick<Handlers, 'listRules' | 'createRule' | 'deleteRule'>
}

/** The rules of this device, in `daemon.db`, which sync never opens (D2). */
export function openRuleBook(options: {
  readonly database: Database.Database
  readonly audit: Audit
  readonly clock: Clock
  readonly random: Random
}): RuleBook {
  const { database, audit, clock, random } = options
  const all = database.prepare<[], RuleRow>('SELECT * FROM rules ORDER BY created_at, id')
  const ofTool = database.prepare<[string], RuleRow>(
    'SELECT * FROM rules WHERE tool_name = ? ORDER BY created_at, id',
  )
  const count = database.prepare<[], number>('SELECT count(*) FROM rules').pluck()
  const insert = database.prepare<[RuleRow]>(`
    INSERT INTO rules (id, action, tool_name, command, command_prefix, path, note, created_at)
    VALUES (@id, @action, @tool_name, @command, @command_prefix, @path, @note, @created_at)`)
  const remove = database.prepare<[string]>('DELETE FROM rules WHERE id = ?')
  return {
    rulesFor: (toolName) => ofTool.all(toolName).map(toRule),
    handlers: {
      listRules: () => ({ rules: all.all().map(toRule) }),
      createRule: async ({ body }) => {
        requireExact(body)
        await requireUsableRule(body)
        const now = clock.now()
        const row: RuleRow = {
          id: uuidV7(now, random),
          action: body.action,
          tool_name: body.tool_name,
          command: body.command ?? null,
          command_prefix: body.command_prefix ?? null,
          path: body.path ?? null,
          note: body.note ?? null,
          created_at: now,
        }
        const write = database.transaction(() => {
          if ((count.get() ?? 0) >= MAX_RULES)
            throw new TidemarkError(
              'unprocessable',
              `There are ${MAX_RULES} rules already, which is the most`,
            )
          insert.run(row)
          audit.append({ action: 'rule_created', rule_id: row.id, by: 'local' })
        })
        write.immediate()
        return toRule(row)
      },
      deleteRule: ({ id }) => {
        const write = database.transaction(() => {
          if (remove.run(id).changes === 0) throw new TidemarkError('not_found', 'There is no such rule')
          audit.append({ action: 'rule_deleted', rule_id: id, by: 'local' })
        })
        write.immediate()
        return { removed: true }
      },
    },
  }
}

const toRule = ({ command, command_prefix, path, ...row }: RuleRow): Rule => ({
  ...row,
  ...(command === null ? {} : { command }),
  ...(command_prefix === null ? {} : { command_prefix }),
  ...(path === null ? {} : { path }),
})

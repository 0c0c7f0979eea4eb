import type Database from 'better-sqlite3'

import { TidemarkError } from '../../kernel/errors.ts'
import type { AgentsFile } from './agents-file.ts'
import { requireShallow } from './json.ts'
import { writeField, type Field } from './fields.ts'
import type { Table } from './tables.ts'

/** Times that this daemon gives where the source told none. */
const OWN_TIMES: ReadonlySet<string> = new Set(['created_at', 'updated_at'])

type Values = { readonly [column: string]: unknown }

/**
 * Makes a record, or adds to one (D6): what the input has replaces what stands there, what it lacks, or has as null,
 * never does. Where nothing differs nothing is written, so a repeat sets off no trigger and is not sent to anybody.
 */
export function upsertSql<R>({ name, fields }: Table<R>): string {
  const columns = fields.map(([column]) => column)
  const given = columns.map((column) => (OWN_TIMES.has(column) ? `coalesce(@${column}, @now)` : `@${column}`))
  const set = columns.map(
    (column) => `${column} = coalesce(@${column}, ${column === 'updated_at' ? '@now' : column})`,
  )
  const differ = columns.map((column) => `(@${column} IS NOT NULL AND @${column} IS NOT ${column})`)
  return `INSERT INTO ${name} (id, ${columns.join(', ')}) VALUES (@id, ${given.join(', ')})
    ON CONFLICT (id) DO UPDATE SET ${set.join(', ')} WHERE ${differ.join(' OR ')}`
}

/** Answers whether anything was written. */
export const upsert = <R>(
  statement: Database.Statement,
  table: Table<R>,
  id: string,
  input: object,
  now: number,
): boolean => statement.run({ id, now: BigInt(now), ...toValues(table, input) }).changes > 0

/** Sets what the patch has, null too. Answers whether anything was written. */
export function patch<R>(
  file: AgentsFile,
  table: Table<R>,
  id: string,
  changes: object,
  now: number,
): boolean {
  const fields = table.fields.filter(([column]) => Object.hasOwn(changes, column))
  if (fields.length === 0) return false
  const set = fields.map(([column]) => `${column} = @${column}`)
  const differ = fields.map(([column]) => `@${column} IS NOT ${column}`)
  const moves = table.time === 'updated_at' && !Object.hasOwn(changes, 'updated_at')
  const sql = `UPDATE ${table.name} SET ${[...set, ...(moves ? ['updated_at = @now'] : [])].join(', ')}
    WHERE id = @id AND (${differ.join(' OR ')})`
  const values = { id, ...toValues({ fields }, changes), ...(moves ? { now: BigInt(now) } : {}) }
  return file.prepare(sql).run(values).changes > 0
}

function toValues({ fields }: { readonly fields: Table<never>['fields'] }, input: object): Values {
  const given = new Map<string, unknown>(Object.entries(input))
  return Object.fromEntries(
    fields.map(([column, field]): [string, unknown] => [column, toValue(given.get(column), field)]),
  )
}

function toValue(value: unknown, field: Field): unknown {
  if (field === 'json') requireShallow(value)
  return writeField(value, field)
}

/** Throws `unprocessable` where the id is known under another session; what was known under none may be given one. */
export function requireSession<R>(
  file: AgentsFile,
  { name }: Table<R>,
  id: string,
  session: string,
  index: number,
): void {
  const known = file.prepare(`SELECT session_id FROM ${name} WHERE id = ?`).pluck().get(id)
  if (known === undefined || known === null || known === session) return
  throw new TidemarkError('unprocessable', `the id of ${name}[${index}] is known under another session`, {
    details: { field: `${name}[${index}].id` },
  })
}

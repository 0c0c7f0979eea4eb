import { TidemarkError } from '../../kernel/errors.ts'
import type { SchemaTable } from '../../protocol/schema.ts'
import type { Connection, Database } from '../postgres/pool.ts'
import { defineView, quoteName, quoteText, viewSchema, type ViewDefinition } from './define.ts'

/** One view, and how it is; `kept`: behind, and something was built on it that is not ours to take away. */
export interface RefreshedView {
  readonly schema: string
  readonly view: string
  readonly state: 'made' | 'changed' | 'current' | 'kept' | 'missing' | 'behind'
}

interface SpaceRow {
  readonly no: number
  readonly account: string
  readonly name: string
  readonly tables: string
}

/** Somebody who reads a view holds it: whoever waits to change it stops all who come after. */
const LOCK_MS = 2_000
const DEPENDED_ON = '2BP01'

/** The ids of all spaces that have a schema, by account and name. */
export async function listViewSpaces(database: Database, account?: string): Promise<readonly string[]> {
  const rows = await database.query<{ readonly id: string }>(
    `SELECT n.id FROM tidemark.space_names n JOIN tidemark.spaces s ON s.id = n.id
     WHERE s.schema > 0 AND ($1::text IS NULL OR n.account = $1) ORDER BY n.account, n.name`,
    [account ?? null],
  )
  return rows.map(({ id }) => id)
}

/**
 * Brings the views of a space to its schema, each in a transaction of its own; of several nodes one does it and the
 * others find it done. Rejects with `database_refused` where the role may not make them.
 */
export function refreshViews(database: Database, id: string): Promise<readonly RefreshedView[]> {
  return mapViews(database, id, (view) => refreshView(database, view))
}

/** The views that a space should have, as they are. */
export function listViews(database: Database, id: string): Promise<readonly RefreshedView[]> {
  return mapViews(database, id, async (view) => {
    const mark = await readMark(database, view)
    return mark === view.mark ? 'current' : mark === undefined ? 'missing' : 'behind'
  })
}

async function mapViews(
  database: Database,
  id: string,
  look: (view: ViewDefinition) => Promise<RefreshedView['state']>,
): Promise<readonly RefreshedView[]> {
  const [space] = await database.query<SpaceRow>(
    `SELECT s.no, n.account, n.name, s.schema_tables AS tables FROM tidemark.spaces s
     JOIN tidemark.space_names n ON n.id = s.id WHERE s.id = $1`,
    [id],
  )
  if (space === undefined) throw new TidemarkError('space_not_found')
  const schema = viewSchema(space.account, space.name)
  const views: RefreshedView[] = []
  for (const table of JSON.parse(space.tables) as SchemaTable[]) {
    const view = defineView(schema, space.no, table)
    views.push({ schema, view: view.name, state: await look(view) })
  }
  return views
}

async function refreshView(database: Database, view: ViewDefinition): Promise<RefreshedView['state']> {
  if ((await readMark(database, view)) === view.mark) return 'current'
  try {
    return await database.transaction(async (connection) => {
      await connection.query(`SET LOCAL lock_timeout = ${LOCK_MS}`)
      await connection.query('SELECT pg_advisory_xact_lock(hashtext($1), hashtext($2))', [
        'tidemark views',
        view.schema,
      ])
      await makeSchema(connection, view.schema)
      const mark = await readMark(connection, view)
      if (mark === view.mark) return 'current'
      const place = `${quoteName(view.schema)}.${quoteName(view.name)}`
      if (mark !== undefined) await connection.query(`DROP VIEW ${place}`)
      await connection.query(view.sql)
      await connection.query(`COMMENT ON VIEW ${place} IS ${quoteText(view.mark)}`)
      return mark === undefined ? 'made' : 'changed'
    })
  } catch (error) {
    if (error instanceof TidemarkError && error.details['sqlstate'] === DEPENDED_ON) return 'kept'
    throw error
  }
}

async function makeSchema(connection: Connection, schema: string): Promise<void> {
  const found = await connection.query('SELECT FROM pg_namespace WHERE nspname = $1', [schema])
  if (found.length === 0) await connection.query(`CREATE SCHEMA ${quoteName(schema)}`)
}

/** The mark of the view that stands there; null for one without, undefined for none. */
async function readMark(
  connection: Connection,
  { schema, name }: ViewDefinition,
): Promise<string | null | undefined> {
  const [found] = await connection.query<{ readonly mark: string | null }>(
    `SELECT obj_description(c.oid, 'pg_class') AS mark FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = $1 AND c.relname = $2`,
    [schema, name],
  )
  return found === undefined ? undefined : found.mark
}

import { isOwnName } from '../capture/names.ts'

/**
 * Tables of migration tools: they say what was done to *this* file. On a device with another version of the application
 * they would make its migrations be skipped, or fail. Lower case.
 */
const BOOKKEEPING = new Set([
  '__diesel_schema_migrations',
  '__drizzle_migrations',
  '__efmigrationshistory',
  '_cf_kv',
  '_litestream_lock',
  '_litestream_seq',
  '_prisma_migrations',
  '_sqlx_migrations',
  'alembic_version',
  'android_metadata',
  'ar_internal_metadata',
  'd1_migrations',
  'databasechangelog',
  'databasechangeloglock',
  'django_migrations',
  'flyway_schema_history',
  'goose_db_version',
  'gorp_migrations',
  'grdb_migrations',
  'knex_migrations',
  'knex_migrations_lock',
  'kysely_migration',
  'kysely_migration_lock',
  'migration_lock',
  'mikro_orm_migrations',
  'phinxlog',
  'refinery_schema_history',
  'room_master_table',
  'schema_migrations',
  'schema_version',
  'sequelizedata',
  'sequelizemeta',
  'typeorm_metadata',
  'umzug_migrations',
])

/** Why a table of this name is never synced; null when the name says nothing against it. */
export function refuseName(name: string): string | null {
  if (name.toLowerCase().startsWith('sqlite_')) return 'it belongs to SQLite itself'
  if (isOwnName(name)) return 'it belongs to Tidemark itself'
  return null
}

/** True for a migration tool's own table. `columns` are its own: some tools call their table by a common word. */
export function isBookkeeping(name: string, columns: readonly string[]): boolean {
  const lower = name.toLowerCase()
  return BOOKKEEPING.has(lower) || isTypeormTable(lower, columns)
}

/** TypeORM's and Laravel's are both called `migrations`. */
function isTypeormTable(name: string, columns: readonly string[]): boolean {
  const has = (...names: readonly string[]): boolean => names.every((column) => columns.includes(column))
  return name === 'migrations' && (has('timestamp', 'name') || has('migration', 'batch'))
}

/** Suffixes of the tables in which a virtual table keeps its data, by module. */
const SHADOWS: { readonly [module: string]: readonly string[] } = {
  fts3: ['content', 'segments', 'segdir', 'docsize', 'stat'],
  fts4: ['content', 'segments', 'segdir', 'docsize', 'stat'],
  fts5: ['data', 'idx', 'content', 'docsize', 'config'],
  rtree: ['node', 'rowid', 'parent'],
  rtree_i32: ['node', 'rowid', 'parent'],
  geopoly: ['node', 'rowid', 'parent'],
}

export interface VirtualTable {
  readonly name: string
  /** Lower case. */
  readonly module: string
}

/**
 * The virtual table whose data a plain-looking table holds, or null. By name, because without the module
 * SQLite does not know either. For modules that are not known here, every `NAME_…` counts.
 */
export function shadowOf(name: string, virtual: readonly VirtualTable[]): string | null {
  for (const owner of virtual) {
    const prefix = `${owner.name}_`
    if (!name.toLowerCase().startsWith(prefix.toLowerCase())) continue
    const suffixes = SHADOWS[owner.module]
    if (suffixes === undefined || suffixes.includes(name.slice(prefix.length).toLowerCase()))
      return owner.name
  }
  return null
}

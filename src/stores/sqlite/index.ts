/** The `./sqlite` export: SQLite files under sync. */
export { betterSqlite3 } from './driver/better-sqlite3.ts'
export type { Connection, Driver, DriverName } from './driver/driver.ts'
export { nodeSqlite } from './driver/node-sqlite.ts'
export { openIdentityGuard, type IdentityGuardOptions } from './identity.ts'
export type { AttachPlan, Identity, TableChoice } from './store/attach.ts'
export {
  attachFile,
  detachFile,
  inspectFile,
  openSqliteStore,
  type FileAccess,
  type SqliteStoreSettings,
} from './store/open.ts'
export type { SqliteStore } from './store/store.ts'
export { takeTurns, type Turn, type TurnOptions, type Turns } from './store/turn.ts'

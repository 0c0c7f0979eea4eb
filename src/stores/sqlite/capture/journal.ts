import { quoteName, type Connection } from '../driver/driver.ts'
import { FLAG_TABLE } from './names.ts'

const FLAG = quoteName(FLAG_TABLE)

/**
 * Switches the file to WAL, in which readers and the writer do not wait for each other, and remembers the mode
 * it had. Outside a transaction, after capture is installed. False when the file cannot be switched (in
 * memory, on a network share): capture works all the same.
 */
export function switchToWal(connection: Connection): boolean {
  const mode = String(connection.value('PRAGMA main.journal_mode'))
  if (mode === 'wal') return true
  // Recorded first: a crash in between leaves a note about a switch that did not happen, which is harmless.
  connection.prepare(`UPDATE ${FLAG} SET "journal" = ? WHERE "id" = 1`).run(mode)
  return connection.value('PRAGMA main.journal_mode = WAL') === 'wal'
}

/** The journal mode to put back, or null when none was changed. */
export function recordedJournal(connection: Connection): string | null {
  const mode = connection.value(`SELECT "journal" FROM ${FLAG} WHERE "id" = 1`)
  return typeof mode === 'string' && JOURNAL_MODES.includes(mode) ? mode : null
}

const JOURNAL_MODES = ['delete', 'truncate', 'persist', 'memory', 'off']

/** False when another connection keeps the file in WAL. */
export function restoreJournal(connection: Connection, mode: string): boolean {
  if (connection.value('PRAGMA main.journal_mode') === mode) return true
  try {
    return connection.value(`PRAGMA main.journal_mode = ${mode}`) === mode
  } catch {
    return false
  }
}

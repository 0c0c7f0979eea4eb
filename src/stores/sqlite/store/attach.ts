import { TidemarkError, toTidemarkError } from '../../../kernel/errors.ts'
import { installCapture, removeCapture } from '../capture/capture.ts'
import { isOwnName } from '../capture/names.ts'
import { transact, type Connection } from '../driver/driver.ts'
import { readShapes } from '../shape/read.ts'
import { isBookkeeping } from '../shape/refusals.ts'
import type { FileShapes, Shape } from '../shape/shape.ts'
import { readTriggerEffects } from '../shape/trigger-effects.ts'
import { findMixedTriggers } from '../shape/warnings.ts'
import { Meta, STORE_FORMAT } from './meta.ts'
import { META_TABLE } from './names.ts'
import { createStateTables } from './state-tables.ts'

/** Which tables are synced: those named, or all but those excluded and those of migration tools. */
export interface TableChoice {
  readonly tables?: readonly string[]
  readonly exclude?: readonly string[]
  /** Tables of migration tools that are synced beside all others. */
  readonly bookkeeping?: readonly string[]
  /** Left out like `exclude`, but they need not be there: tables of the application's tools, which may come later. */
  readonly tools?: readonly string[]
}

/** Tables that are asked for by name, be they of a migration tool. */
export const namesAsked = (choice: {
  readonly tables?: readonly string[] | null
  readonly bookkeeping?: readonly string[]
}): readonly string[] => [...(choice.tables ?? []), ...(choice.bookkeeping ?? [])]

export interface Identity {
  readonly replica: string
  readonly space: string
}

/** What attaching does, or would do. */
export interface AttachPlan {
  /** Tables that are synced, by name. */
  readonly tables: readonly string[]
  readonly refused: FileShapes['refused']
  readonly warnings: FileShapes['warnings']
}

export function isAttached(connection: Connection): boolean {
  return (
    connection.value(`SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = '${META_TABLE}'`) !==
    null
  )
}

/** What would be synced, without writing. Throws `unprocessable` for a named table that is not there or is refused. */
export function planAttach(connection: Connection, choice: TableChoice): AttachPlan {
  const { shapes, refused, warnings } = readShapes(connection, namesAsked(choice))
  const missing = [...(choice.tables ?? []), ...(choice.exclude ?? [])].filter(
    (name) => !shapes.has(name) && !isKnown(name, refused),
  )
  const unfit = refused.filter(({ table }) => choice.tables?.includes(table) === true)
  if (missing.length > 0 || unfit.length > 0) {
    const message =
      missing.length > 0
        ? `there is no such table: ${missing.join(', ')}`
        : `a table that was named cannot be synced: ${unfit.map(({ table, reason }) => `${table} (${reason})`).join(', ')}`
    throw new TidemarkError('unprocessable', message, { details: { missing, refused: unfit } })
  }
  const tables = [...shapes.keys()]
    .filter(
      (name) =>
        (choice.tables === undefined || choice.tables.includes(name)) &&
        choice.exclude?.includes(name) !== true &&
        choice.tools?.includes(name) !== true,
    )
    .sort()
  const synced = new Set(tables)
  return {
    tables,
    refused: refused.filter(({ table }) => !isOwnName(table)),
    warnings: [
      ...warnings,
      ...tables.filter((name) => isBookkeeping(name, columnsOf(shapes.get(name)))).map(MIGRATIONS_TRAVEL),
      ...findMixedTriggers(readTriggerEffects(connection, synced), synced),
    ],
  }
}

const columnsOf = (shape: Shape | undefined): readonly string[] =>
  shape?.columns.map(({ name }) => name) ?? []

const MIGRATIONS_TRAVEL = (table: string): FileShapes['warnings'][number] => ({
  table,
  warning:
    'it records migrations: a device with another version of the application takes over which of them were run',
})

const isKnown = (name: string, refused: FileShapes['refused']): boolean =>
  refused.some(({ table }) => table === name)

/**
 * Puts a file under sync: the engine's own tables, and which of the application's are synced. Their capture and
 * their marks follow when the store is opened, or at the next opening after a crash. Throws `already_attached`,
 * `nothing_to_sync`.
 */
export function attachConnection(
  connection: Connection,
  identity: Identity,
  choice: TableChoice,
): AttachPlan {
  try {
    return transact(connection, 'immediate', () => {
      if (isAttached(connection)) throw new TidemarkError('already_attached')
      const plan = planAttach(connection, choice)
      if (plan.tables.length === 0)
        throw new TidemarkError('nothing_to_sync', undefined, { details: { refused: plan.refused } })
      installCapture(connection, [])
      createStateTables(connection)
      const meta = new Meta(connection)
      meta.set('format', STORE_FORMAT)
      meta.set('identity', { replica: identity.replica, space: identity.space })
      meta.set('choice', {
        tables: choice.tables ?? null,
        exclude: [...(choice.exclude ?? []), ...(choice.tools ?? [])],
        ...(choice.bookkeeping === undefined ? {} : { bookkeeping: choice.bookkeeping }),
      })
      return plan
    })
  } catch (error) {
    throw toTidemarkError(error, 'internal')
  }
}

/**
 * Leaves the file as if it had never been under sync: schema text and journal mode as before. What was not sent yet
 * stays in the application's tables. Answers false when another connection keeps the file in WAL. Throws `not_attached`.
 */
export function detachConnection(connection: Connection): boolean {
  if (!isAttached(connection)) throw new TidemarkError('not_attached')
  try {
    return removeCapture(connection)
  } catch (error) {
    throw toTidemarkError(error, 'internal')
  }
}

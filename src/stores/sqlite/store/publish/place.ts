import type { Fields } from '../../../../kernel/values.ts'
import type { Bounds } from '../bind.ts'
import type { Session } from '../session.ts'
import { readStanding } from '../standing.ts'
import type { SyncedTable } from '../synced-table.ts'
import { findBlockers, sharesValue, type Blocker } from './blockers.ts'
import { failureOf } from './obstacle.ts'
import { givesWay, isStale, rowAfter, type Obstacle, type Target } from './target.ts'
import { deleteRow, insertRow, writing } from './write-row.ts'

/** A target with the parameters of its key, and the row it makes. */
export interface Put {
  readonly target: Target
  readonly bounds: Bounds
  /** The row of before, where it has left the table already. */
  readonly left?: Fields | undefined
}

export interface Placement {
  /** What cannot stand, and why. */
  readonly refused: ReadonlyMap<Target, Obstacle>
  /** Agreed rows outside these puts that had to leave the table: the row, and why. */
  readonly displaced: ReadonlyMap<string, { readonly row: Fields; readonly reason: string }>
}

/**
 * Puts rows into a table so that every unique value has one holder, whatever order they came in: all of them leave
 * first, so that they can change places. Rows with local changes go first, for they stood before; then the agreed
 * ones by key, so that the smaller key stands. A kept row that finds no place stays where it was, and everything is
 * tried again around it: each try leaves one row less, so it ends.
 */
export function placeRows(session: Session, table: SyncedTable, puts: Put[], rest: Surroundings): Placement {
  const { connection } = session
  const stuck = new Map<Target, Obstacle>()
  for (;;) {
    puts.sort((a, b) => (a.target.key < b.target.key ? -1 : 1))
    connection.exec('SAVEPOINT tidemark_place')
    const placement = new PlacementTry(session, table, stuck, rest.standing).run(puts)
    if ('refused' in placement) {
      connection.exec('RELEASE tidemark_place')
      return placement
    }
    connection.exec('ROLLBACK TO tidemark_place; RELEASE tidemark_place')
    session.parking.forget()
    const called = placement.blockers.flatMap((key) => rest.call(key) ?? [])
    puts.push(...called)
    if (called.length === 0) stuck.set(placement.target, placement.obstacle)
  }
}

/** What this publication has written to the table already. */
export interface Surroundings {
  /** Kept rows: they stood before, and give way to nobody. */
  readonly standing: ReadonlySet<string>
  /** Answers the put of any other row, when it has to be placed anew. */
  call(key: string): Put | null
}

/** A kept row that found no place, and what stands in its way. */
interface Stuck {
  readonly target: Target
  readonly obstacle: Obstacle
  readonly blockers: readonly string[]
}

class PlacementTry {
  readonly #session: Session
  readonly #table: SyncedTable
  readonly #refused: Map<Target, Obstacle>
  readonly #displaced = new Map<string, { readonly row: Fields; readonly reason: string }>()
  /** Rows of these puts stand where they are put; what their old state says no longer counts. */
  readonly #standing: Set<string>
  readonly #rows = new Map<Target, Fields>()
  /** What stood in the way of the row that was tried last. */
  #inTheWay: readonly string[] = []
  /** Rows of before that may come back where their record is refused. */
  readonly #left = new Map<Target, Fields>()

  constructor(
    session: Session,
    table: SyncedTable,
    stuck: ReadonlyMap<Target, Obstacle>,
    standing: ReadonlySet<string>,
  ) {
    this.#standing = new Set(standing)
    this.#session = session
    this.#table = table
    this.#refused = new Map(stuck)
  }

  run(puts: readonly Put[]): Placement | Stuck {
    for (const put of puts) this.#leave(put)
    for (const { target } of puts) {
      if (target.kind !== 'keep' || this.#refused.has(target)) continue
      const obstacle = this.#putOver(target)
      if (obstacle !== null) return { target, obstacle, blockers: this.#inTheWay }
    }
    for (const { target } of puts) {
      if (target.kind === 'keep' || this.#refused.has(target)) continue
      const obstacle = this.#putOver(target)
      if (obstacle !== null) this.#refused.set(target, obstacle)
    }
    for (const [target, row] of this.#left) if (this.#refused.has(target)) this.#putBack(target, row)
    return { refused: this.#refused, displaced: this.#displaced }
  }

  #leave({ target, bounds, left }: Put): void {
    const table = this.#table
    if (target.kind === 'keep' && this.#refused.has(target)) {
      this.#standing.add(target.key)
      return
    }
    const now = table.rows.read(bounds)
    const row = rowAfter(table, target, now)
    if (row !== null) this.#rows.set(target, row)
    const before = now ?? left
    if (before !== undefined && target.kind === 'record') this.#left.set(target, before)
    if (now === null) return
    writing(table, target.key, () => deleteRow(table, bounds))
  }

  /** Puts one row, over agreed rows that give way; answers why not. */
  #putOver(target: Target): Obstacle | null {
    const table = this.#table
    const row = this.#rows.get(target)
    if (row === undefined) return null
    this.#inTheWay = []
    for (let tries = 0; ; tries++) {
      const failure = this.#tryInsert(target.key, row)
      if (failure === null) {
        this.#standing.add(target.key)
        return null
      }
      if (failure.kind !== 'unique' || tries > table.shape.unique.length) return failure.obstacle
      const blockers = findBlockers(table, target.key, row)
      this.#inTheWay = blockers.map((blocker) => blocker.key)
      if (blockers.length === 0 || !blockers.every((blocker) => this.#yields(blocker, target, row)))
        return failure.obstacle
      for (const blocker of blockers) this.#displace(blocker, failure.obstacle.reason)
    }
  }

  #tryInsert(key: string, row: Fields): ReturnType<typeof failureOf> {
    try {
      writing(this.#table, key, () => insertRow(this.#table, key, row))
      return null
    } catch (error) {
      const failure = failureOf(error)
      if (failure === null) throw error
      return failure
    }
  }

  #yields({ index, key }: Blocker, target: Target, row: Fields): boolean {
    if (this.#standing.has(key)) return false
    const blocker = readStanding(this.#session, this.#table, key)
    if (isStale(blocker)) return true
    if (!givesWay(blocker, target.key)) return false
    // The cloud must have given the row this value: a local change of a kept row displaces nobody.
    const fields = target.record?.fields
    return (
      target.kind !== 'keep' ||
      (fields !== undefined && sharesValue(this.#table, index, row, this.#table.own(fields)))
    )
  }

  #displace({ key }: Blocker, reason: string): void {
    const bounds = this.#table.bindKey(key)
    const row = bounds === null ? null : this.#table.rows.read(bounds)
    if (bounds === null || row === null) return
    this.#displaced.set(key, { row, reason })
    writing(this.#table, key, () => deleteRow(this.#table, bounds))
  }

  /** Rows of before whose record is parked stay visible where nothing else took their values. */
  #putBack(target: Target, row: Fields): void {
    this.#tryInsert(target.key, row)
  }
}

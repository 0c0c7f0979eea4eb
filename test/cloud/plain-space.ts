import {
  decideMutation,
  type Decision,
  type Mutation,
  type SpaceView,
  type Write,
} from '../../src/cloud/log/decide.ts'
import type { Folded } from '../../src/cloud/log/decide-group.ts'
import { toGroupView, type GroupView, type Reads } from '../../src/cloud/log/group-view.ts'
import { listClaims, rowId, type Claim, type Standing } from '../../src/cloud/log/standing.ts'
import { hlcFromMs } from '../../src/kernel/hlc.ts'

/** Milliseconds. */
export const NOW = 1_700_000_000_000
export const T0 = hlcFromMs(NOW)

/** A space as two maps, one mutation after the other: what every other way of deciding must come to. */
export class PlainSpace {
  head = 0
  floor = 0
  /** Milliseconds. */
  now = NOW
  readonly #rows = new Map<string, Standing>()
  readonly #claims = new Map<string, string>()

  copy(): PlainSpace {
    const copy = new PlainSpace()
    copy.head = this.head
    copy.floor = this.floor
    copy.now = this.now
    for (const [id, row] of this.#rows) copy.#rows.set(id, row)
    for (const [id, key] of this.#claims) copy.#claims.set(id, key)
    return copy
  }

  standing(table: string, key: string): Standing | null {
    return this.#rows.get(rowId(table, key)) ?? null
  }

  asView(): SpaceView {
    return {
      head: this.head,
      floor: this.floor,
      now: this.now,
      standing: (table, key) => this.standing(table, key),
      holder: (table, index, value) => this.#claims.get(claimOf(table, { index, value })) ?? null,
    }
  }

  /** What was asked for, and nothing beside it. */
  read(reads: Reads): GroupView {
    const { holder } = this.asView()
    return toGroupView(
      { head: this.head, floor: this.floor, now: this.now },
      reads,
      reads.rows.map(({ table, key }) => this.standing(table, key)),
      reads.claims.map(({ table, index, value }) => holder(table, index, value)),
    )
  }

  push(mutation: Mutation): Decision {
    const decision = decideMutation(mutation, this.asView())
    this.write(decision.writes, decision.head)
    return decision
  }

  write(writes: readonly Write[], head: number): void {
    for (const { before } of writes) {
      if (before === null) continue
      for (const claim of listClaims(before.claims)) this.#claims.delete(claimOf(before.record.table, claim))
    }
    for (const { after } of writes) {
      const { table, key } = after.record
      this.#rows.set(rowId(table, key), after)
      for (const claim of listClaims(after.claims)) this.#claims.set(claimOf(table, claim), key)
    }
    this.head = head
  }

  /** As a database does it that is told nothing else. Throws where it would. */
  writeFolded({ writes, drops, takes, total }: Folded): void {
    let last = 0
    for (const { table, key, offset, before, after } of writes) {
      if (this.standing(table, key) !== before) throw new Error('another row than was read')
      if (offset <= last || offset > total) throw new Error('a version out of order')
      if (after.record.table !== table || after.record.key !== key) throw new Error('another row')
      if (after.record.version !== this.head + offset) throw new Error('another version')
      this.#rows.set(rowId(table, key), after)
      last = offset
    }
    for (const drop of drops) {
      const id = claimOf(drop.table, drop)
      if (this.#claims.get(id) !== drop.key) throw new Error('a value is let go that was not held')
      this.#claims.delete(id)
    }
    for (const take of takes) {
      const id = claimOf(take.table, take)
      if (this.#claims.has(id)) throw new Error('a value is taken that is held')
      this.#claims.set(id, take.key)
    }
    this.head += total
  }

  /** A tombstone that is collected. */
  drop(table: string, key: string): void {
    if (this.standing(table, key)?.record.deleted !== true) throw new Error('only tombstones are dropped')
    this.#rows.delete(rowId(table, key))
  }

  standings(): readonly Standing[] {
    return [...this.#rows.values()]
  }

  /** Unique values that are held, and by which rows. */
  held(): readonly {
    readonly table: string
    readonly index: string
    readonly value: string
    readonly key: string
  }[] {
    return [...this.#claims].map(([id, key]) => {
      const [table = '', index = '', value = ''] = id.split('\0')
      return { table, index, value, key }
    })
  }

  /** Live rows and tombstones of each table. */
  counts(): ReadonlyMap<string, { readonly live: number; readonly buried: number }> {
    const counts = new Map<string, { live: number; buried: number }>()
    for (const { record } of this.#rows.values()) {
      const count = counts.get(record.table) ?? { live: 0, buried: 0 }
      count[record.deleted === true ? 'buried' : 'live']++
      counts.set(record.table, count)
    }
    return counts
  }

  /** Everything there is, as one text to compare: the order of the fields counts too. */
  text(): string {
    const sorted = <T>(map: ReadonlyMap<string, T>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1))
    return JSON.stringify(
      { head: this.head, rows: sorted(this.#rows), claims: sorted(this.#claims) },
      null,
      1,
    )
  }
}

const claimOf = (table: string, { index, value }: Claim): string => `${table}\0${index}\0${value}`

import { ConstraintError } from '../src/stores/memory/constraint-error.ts'
import { MemoryDatabase, type Snapshot } from '../src/stores/memory/database.ts'
import { openMemoryStore } from '../src/stores/memory/store.ts'
import { TidemarkError } from '../src/kernel/errors.ts'
import type { Fields } from '../src/kernel/values.ts'
import type { Store } from '../src/engine/store.ts'
import type { WireRecord } from '../src/protocol/records.ts'
import type { Application } from './application.ts'
import type { Disk, DiskOptions } from './disk.ts'
import type { Tables } from './model.ts'
import { tablesOf } from './shape.ts'
import { rowId, type DiskView } from './view.ts'

/** A database in memory: everything durable is in its snapshots. */
export async function createMemoryDisk(options: DiskOptions): Promise<Disk> {
  const clock = { now: options.now, after: () => () => {} }
  const database = new MemoryDatabase(
    { clock, tables: tablesOf(options.variant) },
    options.from?.content as Snapshot | undefined,
  )
  let seen: Snapshot | null = null
  let view: DiskView | null = null
  const open = (): Store =>
    openMemoryStore(database, {
      clock,
      random: options.random,
      space: options.space,
      replica: options.replica,
    })
  // Attaches: a fresh file gets its identity.
  await open()[Symbol.asyncDispose]()
  return {
    application: createApplication(database),
    set full(full: boolean) {
      database.full = full
    },
    open: async () => open(),
    kill() {},
    image() {
      const content = database.snapshot()
      return { content, view: viewOf(content) }
    },
    async restore(image) {
      database.restore(image.content as Snapshot)
    },
    view() {
      const now = database.snapshot()
      if (view === null || seen === null || !isSame(seen, now)) view = viewOf(now)
      seen = now
      return view
    },
    destroy() {},
  }
}

function createApplication(database: MemoryDatabase): Application {
  return {
    write(statements) {
      try {
        database.write((app) => {
          for (const statement of statements) {
            if (statement.op === 'delete') app.remove(statement.table, statement.where)
            else if (statement.op === 'update') app.update(statement.table, statement.where, statement.set)
            else app[statement.op](statement.table, statement.row)
          }
        })
        return true
      } catch (thrown) {
        if (thrown instanceof ConstraintError) return false
        if (thrown instanceof TidemarkError && thrown.code === 'disk_full') return false
        throw thrown
      }
    },
    read: () => tablesIn(database.snapshot()),
    addColumn(table, column) {
      try {
        database.addColumn(table, { name: column, type: 'TEXT' })
        return true
      } catch (thrown) {
        if (thrown instanceof TidemarkError && thrown.code === 'disk_full') return false
        throw thrown
      }
    },
    hasColumn: (table, column) =>
      database.tables.find(({ name }) => name === table)?.columns.some(({ name }) => name === column) ===
      true,
  }
}

const tablesIn = (snapshot: Snapshot): Tables =>
  new Map(snapshot.tables.map(({ schema, rows }) => [schema.name, rows]))

/** Snapshots share what was not written: identity tells. */
function isSame(a: Snapshot, b: Snapshot): boolean {
  if (a.meta !== b.meta || a.inbox !== b.inbox || a.quarantine !== b.quarantine) return false
  return a.tables.every((table, at) => {
    const other = b.tables[at]
    return (
      other !== undefined &&
      table.rows === other.rows &&
      table.marks === other.marks &&
      table.states === other.states
    )
  })
}

function viewOf(snapshot: Snapshot): DiskView {
  const { replica, covered } = snapshot.meta
  const marked = new Set<string>()
  const held = new Set<string>()
  const parked = new Map<string, WireRecord>()
  const agreed = new Map<string, { readonly version: number; readonly deleted: boolean }>()
  const hidden = new Map<string, Fields>()
  for (const { schema, marks, states } of snapshot.tables) {
    const columns = new Set(schema.columns.map(({ name }) => name))
    for (const key of marks.keys()) marked.add(rowId(schema.name, key))
    for (const [key, state] of states) {
      const id = rowId(schema.name, key)
      if (state.heldAt !== null) held.add(id)
      if (state.parked !== null) parked.set(id, state.parked.record)
      if (state.agreed !== 'none')
        agreed.set(id, { version: state.version, deleted: state.agreed === 'deleted' })
      const beyond = Object.entries(state.image).filter(([name]) => !columns.has(name))
      if (beyond.length > 0) hidden.set(id, Object.fromEntries(beyond))
    }
  }
  return {
    replica: replica?.replica ?? '',
    cursor: replica?.cursor ?? null,
    generations: replica?.generations ?? [],
    covered,
    hydrating: replica?.hydrating ?? null,
    overwriting: (replica?.overwriting ?? null) !== null,
    mutation: replica?.mutation ?? 0,
    inFlight: replica?.inFlight ?? null,
    tables: tablesIn(snapshot),
    unread: new Set(),
    marked,
    held,
    parked,
    agreed,
    hidden,
    inbox: [...snapshot.inbox.values()].map(({ entry }) => entry),
    quarantine: [...snapshot.quarantine.values()],
  }
}

import { dismissEntry, resolveEntry, undoEntry } from '../src/engine/conflicts.ts'
import { TidemarkError } from '../src/kernel/errors.ts'
import type { Encoded } from '../src/kernel/values.ts'
import type { InboxEntry } from '../src/engine/inbox.ts'
import type { Store } from '../src/engine/store.ts'
import type { Chance } from './chance.ts'
import { createMachine } from './guard.ts'
import { tokensOf } from './model.ts'
import type { ControlKind, ReplicaSettings } from './plan.ts'
import type { Replica } from './replica.ts'
import { TOKEN_COLUMNS } from './shape.ts'
import { rowId } from './view.ts'
import { MAX_REPLICAS, type World } from './world.ts'

/** What a person at a replica does to sync itself; false when there was nothing to do. */
export async function act(
  world: World,
  kind: ControlKind,
  replica: Replica,
  chance: Chance,
): Promise<boolean> {
  const { running } = replica
  switch (kind) {
    case 'wait':
      return true
    case 'sync-now':
      // It may fail, and says so to whoever asked; the engine goes on by itself.
      running?.engine?.syncNow().catch(() => undefined)
      return running !== null
    case 'pause':
      if (running === null || running.paused) return false
      running.paused = true
      running.engine?.pause()
      return true
    case 'resume':
      if (running?.paused !== true) return false
      running.paused = false
      void running.engine?.resume().catch((thrown: unknown) => {
        if (!(thrown instanceof TidemarkError)) world.fault ??= thrown
      })
      return true
    case 'join':
      return (await join(world, replica.settings)) !== null
    case 'settle':
      return settle(world, replica, chance)
    case 'retry-quarantine':
    case 'drop-quarantine':
      return handleQuarantine(world, kind, replica, chance)
  }
}

/** A person takes up another device: an empty file that reads the space for the first time. */
export async function join(world: World, settings: ReplicaSettings): Promise<Replica | null> {
  if (world.replicas.length >= MAX_REPLICAS) return null
  const name = `r${world.replicas.length + 1}`
  const [path, id] = [`/${name}`, `id-${name}`]
  const machine = createMachine()
  machine.paths.add(path)
  machine.identities.set(id, { path, mutation: 0 })
  const fresh = await world.addReplica(name, settings, { machine, path, id })
  fresh.start()
  return fresh
}

/** Another process at the same file, as the command line would be; its writes are learned as a person's. */
async function withStore(
  world: World,
  replica: Replica,
  work: (store: Store) => Promise<unknown>,
): Promise<boolean> {
  const clock = { now: () => replica.now, after: () => () => {} }
  const before = replica.disk.application.read()
  const hidden = world.hiddenOf(replica)
  try {
    await using store = await replica.disk.open(clock)
    await work(store)
  } catch (thrown) {
    if (!(thrown instanceof TidemarkError)) throw thrown
    world.scheduler.note(`${replica.name} refused: ${thrown.code}`)
    if (thrown.code === 'invariant') throw thrown
    return false
  }
  world.model.learn(replica.name, before, replica.disk.application.read(), {
    at: world.scheduler.now,
    settled: true,
    hidden,
  })
  return true
}

async function settle(world: World, replica: Replica, chance: Chance): Promise<boolean> {
  const open = replica.disk.view().inbox.filter(({ status }) => status === 'open')
  if (open.length === 0) return false
  const entry = chance.pick(open)
  const how = chance.weighted({ local: 2, remote: 2, row: 2, undo: 2, dismiss: 2 })
  world.scheduler.note(
    `${replica.name} settles ${entry.kind} of ${entry.table} ${entry.key.slice(0, 40)}: ${how}`,
  )
  return withStore(world, replica, (store) => {
    if (how === 'dismiss') return dismissEntry(store, entry.id)
    if (how === 'undo') return undoEntry(store, entry.id)
    return resolveEntry(store, entry.id, how === 'row' ? { row: freshRow(world, replica, entry) } : how)
  })
}

/** A row by hand: new values for the columns in question. */
function freshRow(world: World, replica: Replica, entry: InboxEntry): { [column: string]: Encoded } {
  const row: { [column: string]: Encoded } = {}
  for (const column of TOKEN_COLUMNS[entry.table] ?? []) {
    if (entry.columns.includes(column)) row[column] = world.model.mint(replica.name, entry.table, column)
  }
  return row
}

async function handleQuarantine(
  world: World,
  kind: 'retry-quarantine' | 'drop-quarantine',
  replica: Replica,
  chance: Chance,
): Promise<boolean> {
  const { quarantine, tables } = replica.disk.view()
  if (quarantine.length === 0) return false
  const { id, table, key } = chance.pick(quarantine)
  if (kind === 'retry-quarantine') return withStore(world, replica, (store) => store.retryQuarantine(id))
  const row = tables.get(table)?.get(key)
  const record = world.cloud.records.get(rowId(table, key)) ?? null
  const done = await withStore(world, replica, (store) => store.dropQuarantine(id, record))
  if (done && row !== undefined) {
    // The person gave these values up.
    for (const text of tokensOf(row)) {
      const token = world.model.get(text)
      if (token !== undefined) token.fate = 'settled'
    }
  }
  return done
}

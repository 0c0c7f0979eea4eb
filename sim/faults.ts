import type { Chance } from './chance.ts'
import type { CloudImage } from './cloud-disk.ts'
import { SPACE_ID, tokenOf } from './directory.ts'
import { createMachine, type Machine } from './guard.ts'
import { excuseForgotten, excuseUnsent, excuseUntold } from './invariants.ts'
import { moveImage } from './moved-cloud.ts'
import { join } from './persons.ts'
import type { DisasterKind, FaultKind } from './plan.ts'
import { count } from './coverage.ts'
import type { Past, Replica } from './replica.ts'
import { TABLE_NAMES } from './shape.ts'
import { MAX_REPLICAS, type World } from './world.ts'

/** Something goes wrong; false when it could not just now. What passes by itself does so within a minute. */
export type Fault = (world: World, replica: Replica, chance: Chance) => boolean | Promise<boolean>

const SECONDS = 1_000

export const FAULT_EFFECTS: { readonly [kind in FaultKind | DisasterKind]: Fault } = {
  /** The process dies at one of its next steps: inside any effect. */
  crash(_world, replica, chance) {
    if (replica.running === null) return false
    replica.fuse = chance.int(chance.odds(0.5) ? 8 : 60)
    return true
  },

  /** The process that comes after it may sync one way only, or some tables only, until the next one. */
  restart(world, replica, chance) {
    const tables = TABLE_NAMES.filter(() => chance.odds(0.5))
    const scope = {
      way: chance.odds(0.6) ? chance.pick(['up', 'down'] as const) : undefined,
      tables: chance.odds(0.5) ? tables : undefined,
    }
    replica.scope = chance.odds(0.3) ? scope : {}
    if (replica.scope.way !== undefined) count(world.coverage.outcomes, `only ${replica.scope.way}`)
    if (replica.scope.tables !== undefined) count(world.coverage.outcomes, 'some tables')
    void replica.restart().catch((thrown: unknown) => {
      world.fault ??= thrown
    })
    return replica.running !== null
  },

  'cloud-crash'(world, _replica, chance) {
    const { server } = world
    server.crash()
    world.later(chance.int(10 * SECONDS), 'cloud starts', () => server.start())
    return true
  },

  collect(world, _replica, chance) {
    const { now } = world.scheduler
    const liveSince = now - chance.pick([0, 60 * SECONDS, 600 * SECONDS])
    const retainSince = chance.odds(0.7) ? 0 : now - chance.int(120 * SECONDS)
    world.server.collect(SPACE_ID, { liveSince, retainSince })
    return true
  },

  'disk-full'(world, replica, chance) {
    const { disk } = replica
    disk.full = true
    world.later(chance.int(30 * SECONDS), `${replica.name} has room`, () => {
      disk.full = false
    })
    return true
  },

  'log-full'(world, _replica, chance) {
    world.server.full = true
    world.later(chance.int(30 * SECONDS), 'cloud has room', () => {
      world.server.full = false
    })
    return true
  },

  'clock-jump'(world, replica, chance) {
    world.clocksAreRight = false
    replica.clock.skewMs += chance.between(-600 * SECONDS, 600 * SECONDS)
    return true
  },

  cut: (world, replica, chance) => cutFor(world, [replica], chance.int(60 * SECONDS)),
  'cut-all': (world, _replica, chance) => cutFor(world, world.replicas, chance.int(60 * SECONDS)),

  slow(world, { link, settings, name }, chance) {
    link.latencyMs = chance.between(200, 3 * SECONDS)
    world.later(chance.int(60 * SECONDS), `${name} is fast`, () => {
      link.latencyMs = settings.latencyMs
    })
    return true
  },

  'bad-token'(world, { name }, chance) {
    world.directory.revoked.add(tokenOf(name))
    world.later(chance.int(60 * SECONDS), `${name} has a token`, () =>
      world.directory.revoked.delete(tokenOf(name)),
    )
    return true
  },

  deregister(world, { name }, chance) {
    world.directory.deregistered.add(name)
    world.later(chance.int(60 * SECONDS), `${name} is registered`, () =>
      world.directory.deregistered.delete(name),
    )
    return true
  },

  /** Away while the tombstones that it has not seen are collected. */
  'away-below-floor'(world, replica, chance) {
    replica.link.cut = true
    world.later(chance.int(40 * SECONDS), `${replica.name} comes back below the floor`, () => {
      const { now } = world.scheduler
      world.server.collect(SPACE_ID, { liveSince: now + 1, retainSince: now + 1 })
      world.later(1 * SECONDS, `${replica.name} is reached`, () => {
        replica.link.cut = false
      })
    })
    return true
  },

  /** The newest commits never reached the disk; the guard outside the file and the cloud keep theirs. */
  async 'power-loss'(world, replica, chance) {
    const past = choosePast(replica.past.slice(-3), chance)
    if (past === null) return false
    await goBack(world, replica, past)
    return true
  },

  async 'restore-file'(world, replica, chance) {
    const past = choosePast(replica.past, chance)
    if (past === null) return false
    await goBack(world, replica, past)
    return true
  },

  async 'restore-elsewhere'(world, replica, chance) {
    const past = choosePast(replica.past, chance)
    if (past === null) return false
    replica.machine.paths.delete(replica.path)
    replica.path = `${replica.path}+`
    replica.machine.paths.add(replica.path)
    await goBack(world, replica, past)
    return true
  },

  /** The whole machine comes back from a backup: the guard outside the file too. */
  async 'restore-machine'(world, replica, chance) {
    const past = choosePast(replica.past, chance)
    if (past === null || !past.machine.paths.has(replica.path)) return false
    replica.machine = copyMachine(past.machine)
    await goBack(world, replica, past)
    return true
  },

  /** The file is copied and both are used: on the same machine, or on one that never heard of it. */
  async 'clone-file'(world, replica, chance) {
    const other = chance.odds(0.5)
    return clone(world, replica, (path) => {
      const machine = other ? createMachine() : replica.machine
      machine.paths.add(`${path}-copy`)
      return { machine, path: `${path}-copy` }
    })
  },

  /** The whole machine is copied and both are used: nothing outside the cloud can tell. */
  async 'clone-machine'(world, replica) {
    return clone(world, replica, (path) => ({ machine: copyMachine(replica.machine), path }))
  },

  async 'cloud-restore'(world, _replica, chance) {
    if (world.cloudImages.length === 0) return false
    const [at, downMs] = [chance.int(world.cloudImages.length), chance.int(5 * SECONDS)]
    // What was kept may be an exported file just as well: all that is promised of the one holds of the other.
    const file = chance.odds(0.7) ? null : await moveImage(imageAt(world, at), chance)
    if (file !== null) count(world.coverage.outcomes, 'cloud imported')
    restoreCloud(world, at, downMs, file ?? imageAt(world, at))
    return true
  },

  /** Another device takes up the space, far away; the cloud goes back a little while it reads, and others write on. */
  async 'restore-while-read'(world, replica, chance) {
    const fresh = await join(world, replica.settings)
    if (fresh === null) return false
    fresh.link.latencyMs = chance.between(100, 1_500)
    const [readMs, downMs] = [chance.int(20 * SECONDS), chance.int(1 * SECONDS)]
    world.cloudImages.push(world.server.image())
    world.later(readMs, 'cloud goes back', () => {
      if (world.cloudImages.length > 0) restoreCloud(world, world.cloudImages.length - 1, downMs)
    })
    return true
  },

  /** A copy of the cloud is started beside it; some replicas reach that one for a while, then it is gone. */
  async 'cloud-copy'(world, _replica, chance) {
    if (world.copy !== null) return false
    const copy = world.createServer('copy', world.server.image())
    world.copy = copy
    copy.start()
    for (const { name } of world.replicas) if (chance.odds(0.5)) world.misled.add(name)
    world.later(chance.int(60 * SECONDS), 'the copy is gone', () => world.dropCopy())
    return true
  },
}

const imageAt = (world: World, at: number): CloudImage => world.cloudImages[at] as CloudImage

/** The cloud's storage becomes this image; what is newer than it is gone with its backups. */
function restoreCloud(world: World, at: number, downMs: number, image = imageAt(world, at)): void {
  const { server } = world
  server.crash()
  const before = server.view()
  server.restore(image)
  excuseUntold(world.model, before, server.view())
  world.cloudImages.splice(at + 1)
  world.rewound()
  world.excuse(world.replicas)
  world.later(downMs, 'cloud starts', () => server.start())
}

function cutFor(world: World, replicas: readonly Replica[], ms: number): boolean {
  for (const { link } of replicas) link.cut = true
  world.later(ms, 'reached again', () => {
    for (const { link } of replicas) link.cut = false
  })
  return true
}

const choosePast = (past: readonly Past[], chance: Chance): Past | null =>
  past.length === 0 ? null : chance.pick(past)

export const copyMachine = (machine: Machine): Machine => ({
  identities: new Map(machine.identities),
  paths: new Set(machine.paths),
})

/** The file is as it was: a new line of history begins there. */
async function goBack(world: World, replica: Replica, past: Past): Promise<void> {
  replica.kill()
  const before = replica.disk.view()
  await replica.disk.restore(past.disk)
  excuseForgotten(world.model, before, replica.disk.view())
  excuseUnsent(world.model, replica.name, replica.disk.view())
  replica.past.splice(replica.past.indexOf(past) + 1)
  const line = `${replica.lineage}<`
  world.owners.split(past.lineage, line, past.disk.view)
  replica.lineage = line
  world.torn.add(replica.name)
  if (replica.settings.afterRestore === 'overwrite') {
    world.overwriting.add(replica.name)
    world.excuse(world.replicas, { replica: replica.name, before })
  } else world.excuse([replica], { replica: replica.name, before })
  world.later(1 * SECONDS, `${replica.name} starts again`, () => replica.start())
}

async function clone(
  world: World,
  replica: Replica,
  place: (path: string) => { readonly machine: Machine; readonly path: string },
): Promise<boolean> {
  if (world.replicas.length >= MAX_REPLICAS) return false
  const name = `r${world.replicas.length + 1}`
  const { machine, path } = place(replica.path)
  const image = replica.disk.image()
  const copy = await world.addReplica(name, replica.settings, {
    machine,
    path,
    id: image.view.replica,
    image,
  })
  copy.clock.skewMs = replica.clock.skewMs
  copy.lineage = name
  world.owners.split(replica.lineage, name, image.view)
  world.cloned = true
  world.torn.add(name)
  // The wish to overwrite is in the file.
  if (image.view.overwriting) world.overwriting.add(name)
  // Both now send what was dirty: the money of the group is moved twice.
  world.excuse([replica])
  copy.start()
  return true
}

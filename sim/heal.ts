import { checkAccounted, checkConverged, checkDeletes, checkNewest, checkNothingLost } from './invariants.ts'
import { check } from './outcome.ts'
import type { World } from './world.ts'

/** Windows of time in which everything must have come to rest once nothing is wrong any more. */
const MAX_WINDOWS = 40
const WINDOW_MS = 45_000

/** Everything works again: the network, the disks, the cloud, the credentials. */
export function heal(world: World): void {
  world.network.heal()
  world.directory.revoked.clear()
  world.directory.deregistered.clear()
  world.server.full = false
  world.dropCopy()
  world.server.start()
  for (const replica of world.replicas) {
    replica.link.cut = false
    replica.link.latencyMs = replica.settings.latencyMs
    replica.disk.full = false
    replica.fuse = null
    const isWhole = replica.scope.way === undefined && replica.scope.tables === undefined
    if (!isWhole) {
      replica.scope = {}
      replica.kill()
    }
    if (replica.running === null) replica.start()
    else if (replica.running.paused) {
      replica.running.paused = false
      void replica.running.engine?.resume()
    }
  }
}

/** Runs until nothing changes any more, then compares every replica with the cloud (I2) and accounts for every write. */
export async function checkHealed(world: World): Promise<void> {
  heal(world)
  let quiet = 0
  let windows = 0
  for (; windows < MAX_WINDOWS && quiet < 2; windows++) {
    // Faults that were still to pass do so in the first windows; whoever waits is asked again.
    heal(world)
    for (const { running } of world.replicas) running?.engine?.wake(true)
    const before = world.signature()
    await world.pass(WINDOW_MS)
    world.checkAction()
    quiet = before === world.signature() && isAtRest(world) ? quiet + 1 : 0
  }
  check(
    quiet >= 2,
    'I8',
    () =>
      `no rest after ${(MAX_WINDOWS * WINDOW_MS) / 60_000} minutes: ${world.describe()}; ${world.signature()}`,
  )
  const views = world.views()
  for (const [at, view] of views.entries()) checkConverged(world.replicas[at]?.name ?? '', view, world.cloud)
  checkNothingLost(world.model, world.present())
  checkAccounted(world.model, views, world.cloud)
  if (world.clocksAreRight) checkNewest(world.model, views)
  if (!world.cloned) checkDeletes(world.model, views, world.cloud, world.troubled)
}

function isAtRest(world: World): boolean {
  return world.replicas.every(({ running }) => {
    const phase = running?.engine?.phase
    // A long poll that waits is rest; so is a poll that is just under way.
    return phase === 'idle' || phase === 'pulling'
  })
}

import { createChance } from './chance.ts'
import { count } from './coverage.ts'
import { copyMachine, FAULT_EFFECTS } from './faults.ts'
import { checkHealed } from './heal.ts'
import { InvariantBroken, type Outcome, type Violation } from './outcome.ts'
import { act } from './persons.ts'
import {
  CONTROL,
  DISASTERS,
  FAULTS,
  type Action,
  type Case,
  type ControlKind,
  type DisasterKind,
  type FaultKind,
} from './plan.ts'
import { settled } from './scheduler.ts'
import { performWork, type WorkKind } from './workload.ts'
import { World } from './world.ts'

const KEPT_PAST = 12

export interface RunOptions {
  /** How many of the newest trace lines to keep. */
  readonly trace?: number
  /** A text, a token for instance: the trace says whenever the places that hold it change. */
  readonly follow?: string
}

/** Runs one case from beginning to end. Never throws: what breaks is the outcome's violation. */
export async function runCase(given: Case, options: RunOptions = {}): Promise<Outcome> {
  const world = new World(given, { trace: options.trace ?? 0 })
  if (options.follow !== undefined) world.follow(options.follow)
  const onRejection = (thrown: unknown): void => {
    world.fault ??= thrown
  }
  process.on('unhandledRejection', onRejection)
  let step = -1
  let violation: Violation | null = null
  try {
    await world.open()
    for (const [at, action] of given.actions.entries()) {
      step = at
      await world.pass(action.gap)
      await perform(world, action)
      await settled()
      world.checkAction()
      keepPast(world, action)
    }
    await checkHealed(world)
  } catch (thrown) {
    violation = violationOf(thrown, step)
  } finally {
    process.off('unhandledRejection', onRejection)
    world.destroy()
  }
  const { scheduler, coverage } = world
  return {
    seed: given.seed,
    steps: step + 1,
    events: scheduler.events,
    hash: scheduler.hash,
    violation,
    coverage,
    trace: scheduler.trace,
  }
}

function violationOf(thrown: unknown, step: number): Violation {
  if (thrown instanceof InvariantBroken) return { invariant: thrown.invariant, message: thrown.message, step }
  const message = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)
  return { invariant: 'run', message, step }
}

async function perform(world: World, action: Action): Promise<void> {
  const replica = world.replicas[action.replica % world.replicas.length]
  if (replica === undefined) return
  const chance = createChance(action.seed)
  const { kind } = action
  world.scheduler.note(`# ${replica.name} ${kind}`)
  if (Object.hasOwn(FAULTS, kind) || Object.hasOwn(DISASTERS, kind)) {
    const happened = await FAULT_EFFECTS[kind as FaultKind | DisasterKind](world, replica, chance)
    if (happened) count(world.coverage.faults, kind)
  } else if (Object.hasOwn(CONTROL, kind)) {
    if (await act(world, kind as ControlKind, replica, chance)) count(world.coverage.work, kind)
  } else {
    const { name, disk, group } = replica
    const hidden = world.hiddenOf(replica)
    const done = performWork(kind as WorkKind, {
      name,
      application: disk.application,
      model: world.model,
      chance,
      now: world.scheduler.now,
      group,
      hidden,
    })
    if (done) count(world.coverage.work, kind)
  }
}

/** Now and then a state is kept that a disaster may come back to. */
function keepPast(world: World, action: Action): void {
  const chance = createChance(action.seed ^ 0x5a5a5a5a)
  for (const replica of world.replicas) {
    if (!chance.odds(0.25)) continue
    const { lineage } = replica
    replica.past.push({ disk: replica.disk.image(), machine: copyMachine(replica.machine), lineage })
    if (replica.past.length > KEPT_PAST) replica.past.splice(chance.int(KEPT_PAST), 1)
  }
  if (!chance.odds(0.1)) return
  world.cloudImages.push(world.server.image())
  if (world.cloudImages.length > KEPT_PAST) world.cloudImages.splice(chance.int(KEPT_PAST), 1)
}

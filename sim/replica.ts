import type { Handler } from '../src/cloud/handler/handler.ts'
import type { InboxEntry } from '../src/engine/inbox.ts'
import { SyncEngine, type EngineEvent } from '../src/engine/engine.ts'
import type { EngineOptions } from '../src/engine/options.ts'
import { localWins, manual, newestWins, remoteWins, type NamedResolver } from '../src/engine/resolvers.ts'
import type { Store } from '../src/engine/store.ts'
import type { Clock } from '../src/kernel/clock.ts'
import { TidemarkError } from '../src/kernel/errors.ts'
import type { Chance } from './chance.ts'
import { count, type Coverage } from './coverage.ts'
import type { Disk, DiskImage } from './disk.ts'
import type { DiskView } from './view.ts'
import { createGuard, type Machine } from './guard.ts'
import { stepStore } from './machine-store.ts'
import type { Link, Network, Serving } from './network.ts'
import type { ReplicaSettings } from './plan.ts'
import { createProvider } from './provider.ts'
import { createOwner, type Owner, type Scheduler } from './scheduler.ts'

/** How long a supervisor waits before it starts an engine again that could not start. */
const RESTART_MS = 5_000

export interface ReplicaPlace {
  readonly scheduler: Scheduler
  readonly network: Network
  readonly serving: Serving<Handler>
  readonly coverage: Coverage
  readonly batchRows: number
  readonly pullLimit: number
  /** Sees every push before it leaves. */
  readonly onPush: (replica: Replica, body: string) => void
  /** A pull was published whole: nothing is torn any more. */
  readonly onPublished: (replica: Replica) => void
  /** An error that nobody expects. */
  readonly onFault: (thrown: unknown) => void
}

/** An older state of a file, and what its machine knew then. */
export interface Past {
  readonly disk: DiskImage
  readonly machine: Machine
  /** The line of history that it is a moment of. */
  readonly lineage: string
}

/** One replica: a file on a machine, and the process that keeps it in step. */
export class Replica {
  readonly name: string
  readonly settings: ReplicaSettings
  readonly link: Link
  readonly place: ReplicaPlace
  readonly chance: Chance
  machine: Machine
  path: string
  disk: Disk
  /** How wrong its clock is just now. */
  readonly clock: { skewMs: number }
  /** Which line of history the file is on: changes when it goes back in time or is copied (I13). */
  lineage: string
  /** Accounts that only this file's line moves money in. */
  group: string
  running: Running | null = null
  /** What its next process syncs, where that is not all of it. */
  scope: Scope = {}
  /** Older states of the file: what a power loss, a restore or a copy comes back to. */
  readonly past: Past[] = []
  /** The view that was checked last. */
  checked: DiskView | null = null
  /** The process dies at the n-th step from now; null: it does not. */
  fuse: number | null = null
  /** Counts engine failures of a kind that a simulation should never see. */
  lastError: TidemarkError | null = null

  constructor(
    name: string,
    settings: ReplicaSettings,
    place: ReplicaPlace,
    parts: {
      readonly machine: Machine
      readonly path: string
      readonly disk: Disk
      readonly chance: Chance
      readonly link: Link
      readonly clock: { skewMs: number }
    },
  ) {
    this.name = name
    this.settings = settings
    this.place = place
    this.machine = parts.machine
    this.path = parts.path
    this.disk = parts.disk
    this.chance = parts.chance
    this.link = parts.link
    this.clock = parts.clock
    this.lineage = name
    this.group = `${name}.0`
  }

  get now(): number {
    return this.place.scheduler.now + this.clock.skewMs
  }

  /** Starts the process; it goes on by itself. */
  start(): void {
    if (this.running !== null) return
    const owner = createOwner(this.name)
    const running: Running = { owner, engine: null, store: null, paused: false, dying: false }
    this.running = running
    void this.#boot(running)
  }

  async #boot(running: Running): Promise<void> {
    const { owner } = running
    const { scheduler, network, serving, coverage } = this.place
    const step = (label: string) => this.#step(owner, label)
    const clock: Clock = {
      now: () => this.now,
      after: (ms, run) => scheduler.after(owner, ms, 'timer', run),
    }
    try {
      await step('open')
      const raw = await this.disk.open(clock)
      if (!owner.alive) return
      const store = stepStore(raw, step)
      const provider = createProvider({
        owner,
        link: this.link,
        network,
        serving,
        pullLimit: this.place.pullLimit,
        remark: (line) => scheduler.remark(line),
        onPush: (body) => this.place.onPush(this, body),
      })
      const engine = new SyncEngine({
        store,
        provider,
        guard: createGuard(this.machine, this.path, step),
        clock,
        random: { next: () => this.chance.next() },
        ...this.#resolver(owner),
        listen: this.settings.listen,
        batchRows: this.place.batchRows,
        afterRestore: this.settings.afterRestore,
        ...this.scope,
      })
      running.store = store
      running.engine = engine
      engine.on((event) => this.#observe(event, coverage))
      await this.#startEngine(running, engine)
    } catch (thrown) {
      if (!owner.alive) return
      if (!(thrown instanceof TidemarkError)) return this.place.onFault(thrown)
      scheduler.remark(() => `${this.name}   cannot start: ${thrown.stack ?? thrown.message}`)
      // As a daemon would: what could not start is started again.
      scheduler.after(owner, RESTART_MS, `start again after ${thrown.code}`, () => {
        this.kill()
        this.start()
      })
    }
  }

  async #startEngine(running: Running, engine: SyncEngine): Promise<void> {
    await engine.start()
    if (running.paused) engine.pause()
  }

  #resolver(owner: Owner): { readonly resolver?: NamedResolver } {
    switch (this.settings.resolver) {
      case 'newestWins':
        return {}
      case 'localWins':
        return { resolver: localWins }
      case 'remoteWins':
        return { resolver: remoteWins }
      case 'manual':
        return { resolver: manual }
      case 'slow': {
        const newest = newestWins('m')
        const resolve: NamedResolver['resolve'] = async (conflict) => {
          await this.place.scheduler.pause(owner, this.chance.int(500), 'resolver')
          if (this.chance.odds(0.1)) throw new TypeError('a resolver that fails')
          return newest.resolve(conflict)
        }
        return { resolver: { name: 'slow', resolve } }
      }
    }
  }

  /** A moment of the process: time passes, and the process may die in it. */
  async #step(owner: Owner, label: string): Promise<void> {
    if (this.fuse !== null && owner.alive) {
      this.fuse--
      if (this.fuse < 0) {
        this.fuse = null
        if (this.running?.owner === owner) this.running.dying = true
        count(this.place.coverage.faults, `crash at ${label}`)
        // The rest of this step never happens: a dead process's promises stay as they are.
        this.place.scheduler.after(createOwner(this.name), 0, `dies at ${label}`, () => this.crash(1_000))
        return new Promise(() => {})
      }
    }
    const ms = this.chance.int(this.settings.diskMs + 1)
    await this.place.scheduler.pause(owner, ms, label)
  }

  #observe(event: EngineEvent, coverage: Coverage): void {
    if (event.type === 'phase') {
      count(coverage.transitions, `${event.from.phase} × ${event.event.type}`)
      const code = event.event.type === 'failed' ? ` ${event.event.code}` : ''
      this.place.scheduler.note(
        `${this.name}   ${event.from.phase} ${event.event.type}${code} → ${event.to.phase}`,
      )
      if (event.from.phase === 'publishing' && event.event.type === 'published') this.place.onPublished(this)
    } else if (event.type === 'error') {
      this.lastError = event.error
      this.place.scheduler.remark(() => `${this.name}   ${event.error.code}: ${event.error.message}`)
      count(coverage.outcomes, `error ${event.error.code}`)
      // Whatever goes wrong outside, the engine's own expectations hold.
      if (event.error.code === 'invariant' || event.error.code === 'internal') this.place.onFault(event.error)
    } else if (event.type === 'identity') {
      count(coverage.outcomes, `identity ${event.why}`)
      this.place.scheduler.note(`${this.name}   identity ${event.replica} ${event.why}`)
    } else if (event.type === 'rebased') {
      count(coverage.outcomes, 'rebased')
      this.place.scheduler.note(`${this.name}   rebased on ${event.common}, offers ${event.offered}`)
    } else if (event.type === 'pushed' && event.force) count(coverage.outcomes, 'forced push')
    else if (event.type === 'quarantined') count(coverage.outcomes, 'quarantined', event.count)
    else if (event.type === 'conflicts') count(coverage.outcomes, 'conflict notes', event.count)
    else if (event.type === 'applied' && event.parked > 0) count(coverage.outcomes, 'parked', event.parked)
  }

  /** The process is gone, with everything that was not committed. */
  kill(): void {
    if (this.running === null) return
    this.running.owner.alive = false
    this.running = null
    this.fuse = null
    this.disk.kill()
  }

  /** Dies, and comes back after `ms`. */
  crash(ms: number): void {
    const paused = this.running?.paused === true
    this.kill()
    this.place.scheduler.after(createOwner(this.name), ms, 'starts again', () => {
      this.start()
      if (paused && this.running !== null) this.running.paused = true
    })
  }

  /** An orderly end, as a service manager asks for it, and a new start. */
  async restart(): Promise<void> {
    const { running } = this
    if (running?.engine === null || running === null) return
    await running.engine.stop()
    if (this.running !== running) return
    this.kill()
    this.start()
  }

  openEntries(): readonly InboxEntry[] {
    return this.disk.view().inbox.filter(({ status }) => status === 'open')
  }
}

/** One way only, or some tables only. */
export type Scope = Pick<EngineOptions, 'way' | 'tables'>

export interface Running {
  readonly owner: Owner
  engine: SyncEngine | null
  store: Store | null
  paused: boolean
  /** It stopped in the middle of a step and dies at once. */
  dying: boolean
}

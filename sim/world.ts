import { createHash } from 'node:crypto'

import type { Handler } from '../src/cloud/handler/handler.ts'
import { createChance, streamSeed, type Chance } from './chance.ts'
import { count, createCoverage, type Coverage } from './coverage.ts'
import type { CloudImage } from './cloud-disk.ts'
import { createDirectory, SPACE, type SimDirectory } from './directory.ts'
import type { DiskImage } from './disk.ts'
import { openDisk } from './disks.ts'
import { createMachine, type Machine } from './guard.ts'
import {
  checkNoRegress,
  checkNoSkip,
  checkNothingLost,
  checkSums,
  collectTokens,
  excuseDeletes,
  excuseDestroyed,
  type Presence,
  type WentBack,
} from './invariants.ts'
import { Model, type Hidden } from './model.ts'
import { Network, type Serving } from './network.ts'
import { Oracle } from './oracle.ts'
import { check, InvariantBroken } from './outcome.ts'
import { Owners } from './owners.ts'
import { placesInCloud, placesOnDisk } from './follow.ts'
import type { Case, ReplicaSettings } from './plan.ts'
import { Replica } from './replica.ts'
import { createOwner, Scheduler } from './scheduler.ts'
import { Server } from './server.ts'
import { rowId, type CloudView, type DiskView } from './view.ts'

/** Where the true time of every run begins. */
const START = Date.UTC(2026, 0, 1)
/** Events between two actions past which something turns in a circle: far more than reading everything anew takes. */
const MAX_EVENTS = 20_000
export const MAX_REPLICAS = 7

/** Everything of one run, and the checks that hold at every event. */
export class World {
  readonly case: Case
  readonly scheduler: Scheduler
  readonly network: Network
  readonly directory: SimDirectory
  readonly coverage: Coverage = createCoverage()
  readonly model = new Model()
  readonly oracle = new Oracle()
  readonly owners = new Owners()
  readonly replicas: Replica[] = []
  readonly server: Server
  /** A copy of the cloud that was started beside it, and who reaches that one instead. */
  copy: Server | null = null
  readonly misled = new Set<string>()
  /** Groups of accounts whose owner went back in time: their sums prove nothing any more. */
  readonly tainted = new Set<string>()
  /** Replicas whose tables are torn by a hydrate until the pull after it is published. */
  readonly torn = new Set<string>()
  /** State went back in time somewhere, or a file was copied. */
  troubled = false
  /** How often the cloud's storage became an older one. */
  rewinds = 0
  /** No clock is wrong, and none was. */
  clocksAreRight = true
  /** A file was copied: both are the row's author. */
  cloned = false
  /** Replicas whose restored state is to overwrite the cloud's, until they have read it. */
  readonly overwriting = new Set<string>()
  /** Older states of the cloud. */
  readonly cloudImages: CloudImage[] = []
  /** Errors that nobody caught. */
  fault: unknown = null
  #cloudCommits = -1
  #learned = -1
  /** Commits of the copy that were looked at. */
  #copied = -1
  #followed: string | null = null
  #followedAt = ''
  #cloud: CloudView | null = null

  constructor(given: Case, options: { readonly trace: number }) {
    this.case = given
    this.scheduler = new Scheduler({ start: START, chance: this.chance('order'), keepTrace: options.trace })
    this.network = new Network(this.scheduler, this.chance('network'), (what) =>
      count(this.coverage.faults, what),
    )
    this.directory = createDirectory()
    this.server = this.createServer('cloud')
  }

  createServer(name: string, from?: CloudImage): Server {
    return new Server({
      name,
      scheduler: this.scheduler,
      chance: this.chance(name),
      directory: this.directory,
      hydratePage: this.case.settings.hydratePage,
      ...(from === undefined ? {} : { from }),
    })
  }

  /** The copy of the cloud is gone, and what only it held with it. */
  dropCopy(): void {
    if (this.copy === null) return
    this.copy.crash()
    this.copy = null
    this.misled.clear()
    this.excuse(this.replicas)
  }

  chance(name: string): Chance {
    return createChance(streamSeed(this.case.seed, name))
  }

  async open(): Promise<void> {
    this.server.start()
    for (const [at, settings] of this.case.settings.replicas.entries()) {
      const name = `r${at + 1}`
      const machine = createMachine()
      const path = `/${name}`
      machine.paths.add(path)
      const id = `id-${name}`
      machine.identities.set(id, { path, mutation: 0 })
      await this.addReplica(name, settings, { machine, path, id })
    }
    for (const replica of this.replicas) replica.start()
  }

  /** A replica with a file of its own, or a copy of another's. */
  async addReplica(
    name: string,
    settings: ReplicaSettings,
    from: {
      readonly machine: Machine
      readonly path: string
      readonly id: string
      readonly image?: DiskImage
    },
  ): Promise<Replica> {
    const chance = this.chance(name)
    const clock = { skewMs: settings.skewMs }
    const { machine, path, id, image } = from
    const disk = await openDisk(this.case.settings.store, {
      replica: id,
      space: SPACE,
      path,
      now: () => this.scheduler.now + clock.skewMs,
      random: { next: () => chance.next() },
      variant: settings,
      ...(image === undefined ? {} : { from: image }),
    })
    const network = this.case.settings.network
    const { latencyMs, jitterMs } = settings
    const link = { name, latencyMs, jitterMs, ...network, cut: false }
    const place = {
      scheduler: this.scheduler,
      network: this.network,
      serving: this.#servingFor(name),
      coverage: this.coverage,
      batchRows: this.case.settings.batchRows,
      pullLimit: this.case.settings.pullLimit,
      onPush: (replica: Replica, body: string) => this.owners.sent(replica.lineage, body, hashOf(body)),
      onPublished: (replica: Replica) => this.#published(replica),
      onFault: (thrown: unknown) => {
        this.fault ??= thrown
      },
    }
    const replica = new Replica(name, settings, place, { machine, path, disk, chance, link, clock })
    this.replicas.push(replica)
    if (settings.skewMs !== 0) this.clocksAreRight = false
    return replica
  }

  #servingFor(name: string): Serving<Handler> {
    const serverOf = () => (this.copy !== null && this.misled.has(name) ? this.copy : this.server)
    return {
      get process() {
        return serverOf().process
      },
    }
  }

  get cloud(): CloudView {
    if (this.#cloud === null || this.server.commits !== this.#cloudCommits) {
      this.#cloudCommits = this.server.commits
      this.#cloud = this.server.view()
    }
    return this.#cloud
  }

  /** Lets time pass, event by event, and checks after each. */
  async pass(ms: number): Promise<void> {
    const until = this.scheduler.now + ms
    // A file is looked at ten times a second for other processes' writes.
    const most = MAX_EVENTS + ms / (this.case.settings.store === 'sqlite' ? 10 : 100)
    for (let events = 0; await this.scheduler.step(until); events++) {
      this.afterEvent(this.scheduler.lastOwner)
      check(
        events < most,
        'I8',
        () => `more than ${most} events in ${ms} ms: something turns in a circle (${this.describe()})`,
      )
    }
    this.scheduler.passTo(until)
  }

  /** Notes in the trace, from now on, whenever the places that hold this text change. */
  follow(text: string): void {
    this.#followed = text
  }

  #noteFollowed(): void {
    const text = this.#followed
    if (text === null) return
    const places = [
      ...this.clouds.flatMap((cloud, at) => placesInCloud(cloud, text, at === 0 ? 'cloud' : 'copy')),
      ...this.replicas.flatMap(({ name, disk }) => placesOnDisk(disk.view(), text, name)),
    ].join('; ')
    if (places !== this.#followedAt) this.scheduler.note(`@ ${text}: ${places}`)
    this.#followedAt = places
  }

  /** What must hold at every event, looked at where something changed. `who`: null looks everywhere. */
  afterEvent(who: string | null): void {
    this.#noteFollowed()
    if (this.fault !== null) throw this.fault
    if (this.server.commits !== this.#learned) {
      this.#learned = this.server.commits
      const steps = this.oracle.learn(this.cloud)
      for (const { before, after } of steps) {
        if (after.deleted === true && before?.fields !== undefined)
          this.model.bury(after.table, after.key, before.fields, after.version)
        this.model.revive(after)
      }
      if (this.overwriting.size === 0) checkNoRegress(this.model, steps, () => this.views(), this.rewinds > 0)
      this.owners.accepted(this.cloud)
    }
    if (this.copy !== null && this.copy.commits !== this.#copied) {
      this.#copied = this.copy.commits
      // What was on its way to the copy when its disk went back is there now.
      for (const record of this.copy.view().records.values()) this.model.revive(record)
    }
    for (const replica of this.replicas) {
      const { name, running } = replica
      if (who === null || who === name) this.#checkDisk(replica)
      if (running === null || running.paused || running.dying || running.owner.pending > 0) continue
      throw new InvariantBroken('I8', `${name} sleeps for ever in ${running.engine?.phase ?? 'its start'}`)
    }
  }

  #published({ name, disk }: Replica): void {
    this.torn.delete(name)
    if (disk.view().overwriting || !this.overwriting.delete(name)) return
    this.model.settleAll()
    // Groups that it read, or did not have, are about to be overwritten row by row.
    this.excuse(this.replicas)
  }

  #checkDisk(replica: Replica): void {
    const { name, disk } = replica
    const view = disk.view()
    if (view === replica.checked) return
    replica.checked = view
    if (view.hydrating !== null || view.cursor === null) this.torn.add(name)
    if (!this.torn.has(name)) checkSums(name, view.tables, this.tainted)
    checkNoSkip(name, view, this.cloud, this.oracle)
  }

  /** What must hold after every action; dearer. */
  checkAction(): void {
    this.afterEvent(null)
    if (this.overwriting.size === 0) checkNothingLost(this.model, this.present())
  }

  present(): Presence {
    return collectTokens(this.views(), ...this.clouds)
  }

  get clouds(): readonly CloudView[] {
    return this.copy === null ? [this.cloud] : [this.cloud, this.copy.view()]
  }

  views(): readonly DiskView[] {
    return this.replicas.map(({ disk }) => disk.view())
  }

  /** After a disaster: what is nowhere now is excused, and whoever went back starts a new group of accounts. */
  excuse(replicas: readonly Replica[], wentBack: WentBack | null = null): void {
    const disks = new Map(this.replicas.map(({ name, disk }) => [name, disk.view()]))
    excuseDeletes(this.model, disks, this.clouds, this.oracle, wentBack)
    excuseDestroyed(this.model, this.present())
    this.troubled = true
    for (const replica of replicas) {
      this.tainted.add(replica.group)
      const [name = '', number = '0'] = replica.group.split('.')
      replica.group = `${name}.${Number(number) + 1}`
    }
  }

  /** The cloud's storage was exchanged for an older state. */
  rewound(): void {
    this.rewinds++
    this.#cloud = null
    this.#learned = this.server.commits
    this.oracle.rewind(this.cloud)
    this.model.unbury(this.cloud.head)
    this.owners.rewound(this.cloud)
  }

  /** Does something later that belongs to nobody's process. */
  later(ms: number, label: string, run: () => void): void {
    this.scheduler.after(createOwner('world'), ms, label, run)
  }

  /** Reads, as of now, whether a row of this replica is agreed, and what it has in columns that its table lacks. */
  hiddenOf({ disk }: Replica): (table: string, key: string) => Hidden {
    const { agreed, hidden } = disk.view()
    return (table, key) => {
      const id = rowId(table, key)
      return { agreed: agreed.get(id)?.deleted === false, fields: hidden.get(id) ?? {} }
    }
  }

  /** What is durable everywhere, in a few numbers: unchanged when nothing happens any more. */
  signature(): string {
    const disks = this.replicas.map(({ disk, name }) => {
      const { marked, cursor, mutation, inFlight } = disk.view()
      return `${name}@${cursor?.version} m${mutation}${inFlight === null ? '' : '!'} ${marked.size} marked`
    })
    return `cloud@${this.cloud.head} ${disks.join(' ')}`
  }

  describe(): string {
    return this.replicas
      .map(
        ({ name, running }) => `${name} ${running === null ? 'dead' : (running.engine?.phase ?? 'starting')}`,
      )
      .join(', ')
  }

  destroy(): void {
    for (const replica of this.replicas) {
      replica.kill()
      replica.disk.destroy()
    }
    this.server.crash()
    this.copy?.crash()
  }
}

const hashOf = (body: string): string => createHash('sha256').update(body).digest('hex')

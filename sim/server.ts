import { createHandler, type Handler } from '../src/cloud/handler/handler.ts'
import type { Log } from '../src/cloud/log/log.ts'
import type { Clock } from '../src/kernel/clock.ts'
import { TidemarkError } from '../src/kernel/errors.ts'
import type { Chance } from './chance.ts'
import { createCloudDisk, type CloudDisk, type CloudImage } from './cloud-disk.ts'
import type { SimDirectory } from './directory.ts'
import type { Serving, ServingProcess } from './network.ts'
import { createOwner, type Owner, type Scheduler } from './scheduler.ts'
import type { CloudView } from './view.ts'

export interface ServerPlace {
  readonly name: string
  readonly scheduler: Scheduler
  readonly chance: Chance
  readonly directory: SimDirectory
  readonly hydratePage: number
  readonly from?: CloudImage
}

/** The cloud: its storage, which survives, and the process that answers, which may die at any step. */
export class Server implements Serving<Handler> {
  readonly #place: ServerPlace
  readonly #disk: CloudDisk
  #running: Running | null = null
  /** The log's disk is full just now. */
  full = false

  constructor(place: ServerPlace) {
    this.#place = place
    this.#disk = createCloudDisk(place.from)
  }

  get process(): ServingProcess<Handler> | null {
    return this.#running
  }

  get commits(): number {
    return this.#disk.commits
  }

  start(): void {
    if (this.#running !== null) return
    const { scheduler, chance, directory, name } = this.#place
    const owner = createOwner(name)
    const clock: Clock = {
      now: () => scheduler.now,
      after: (ms, run) => scheduler.after(owner, ms, 'timer', run),
    }
    const step = (label: string) => scheduler.pause(owner, chance.int(3), `log ${label}`)
    const log = this.#disk.open({ clock, random: { next: () => chance.next() }, step })
    const handler = createHandler({
      log: this.#withFullDisk(log),
      directory,
      clock,
      random: { next: () => chance.next() },
      limits: { hydratePage: this.#place.hydratePage },
    })
    const deaths = new Set<() => void>()
    this.#running = {
      handler,
      owner,
      log,
      deaths,
      onDeath(run) {
        deaths.add(run)
        return () => deaths.delete(run)
      },
    }
  }

  /** The process is gone; open transactions roll back, connections break. */
  crash(): void {
    const running = this.#running
    if (running === null) return
    this.#running = null
    running.owner.alive = false
    this.#disk.kill()
    for (const run of running.deaths) run()
  }

  /** Collects tombstones, as the cloud's own housekeeping would. */
  collect(space: string, options: { readonly liveSince: number; readonly retainSince: number }): void {
    const log = this.#running?.log
    if (log === undefined || this.full) return
    // A refusal (the space is not there yet) is no news; a death in the middle never comes back.
    log.collect(space, options).catch((thrown: unknown) => {
      if (!(thrown instanceof TidemarkError)) throw thrown
    })
  }

  image(): CloudImage {
    return this.#disk.image()
  }

  restore(image: CloudImage): void {
    this.#disk.restore(image)
  }

  view(): CloudView {
    return this.#disk.view()
  }

  #withFullDisk(log: Log): Log {
    const isFull = () => this.full
    return new Proxy(log, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target)
        if (typeof value !== 'function') return value
        if (name !== 'push' && name !== 'putSchema' && name !== 'ensureSpace') return value.bind(target)
        return async (...parameters: unknown[]): Promise<unknown> => {
          if (isFull()) throw new TidemarkError('disk_full')
          return (await Reflect.apply(value, target, parameters)) as unknown
        }
      },
    })
  }
}

interface Running extends ServingProcess<Handler> {
  readonly owner: Owner
  readonly log: Log
  readonly deaths: Set<() => void>
}

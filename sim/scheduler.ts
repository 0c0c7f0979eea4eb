import type { Chance } from './chance.ts'

/**
 * One queue for everything that happens: timers, deliveries, steps of stores and of the cloud, actions of the
 * plan. Time moves only here. Events due at one moment are ordered by seeded chance; between two events every
 * promise that can go on goes on, so the order of a run is a function of its seed alone.
 */
export class Scheduler {
  /** Milliseconds since 1970 of the true time. */
  #now: number
  readonly #chance: Chance
  readonly #heap: Event[] = []
  #sequence = 0
  #hash = new TraceHash()
  #events = 0
  #lastOwner = ''
  readonly #trace: string[] = []
  readonly #keepTrace: number

  /** `keepTrace`: how many of the newest trace lines are kept to be read. */
  constructor(options: { readonly start: number; readonly chance: Chance; readonly keepTrace?: number }) {
    this.#now = options.start
    this.#chance = options.chance
    this.#keepTrace = options.keepTrace ?? 0
  }

  get now(): number {
    return this.#now
  }

  get events(): number {
    return this.#events
  }

  /** Whose event ran last. */
  get lastOwner(): string {
    return this.#lastOwner
  }

  /** When the next event is due; null when nothing is. */
  get nextAt(): number | null {
    this.#dropDead()
    return this.#heap[0]?.at ?? null
  }

  get hash(): string {
    return this.#hash.text()
  }

  get trace(): readonly string[] {
    return this.#trace
  }

  /** A line of the trace: part of the hash, so that two runs that differ anywhere are told apart. */
  note(line: string): void {
    this.#hash.add(line)
    this.remark(() => line)
  }

  /** A line for the reader of the trace only: made when somebody reads, and no part of the hash. */
  remark(line: () => string): void {
    if (this.#keepTrace === 0) return
    this.#trace.push(`${String(this.#now).slice(-9)} ${line()}`)
    if (this.#trace.length > this.#keepTrace * 2) this.#trace.splice(0, this.#keepTrace)
  }

  /** Runs `run` after `ms`, unless the owner is dead by then. The returned function cancels it. */
  after(owner: Owner, ms: number, label: string, run: () => void): () => void {
    const event: Event = {
      at: this.#now + Math.max(0, Math.round(ms)),
      tie: this.#chance.int(0x10000),
      sequence: this.#sequence++,
      owner,
      label,
      run,
      live: true,
    }
    owner.pending++
    this.#push(event)
    return () => {
      if (!event.live) return
      event.live = false
      owner.pending--
    }
  }

  /** A moment at which anything else may happen first. Never resolves when the owner dies meanwhile. */
  pause(owner: Owner, ms: number, label: string): Promise<void> {
    return new Promise((resolve) => {
      if (owner.alive) this.after(owner, ms, label, resolve)
    })
  }

  /** Runs the next event and everything it sets off. False when the queue is empty or the next one is due after `until`. */
  async step(until = Infinity): Promise<boolean> {
    this.#dropDead()
    const next = this.#heap[0]
    if (next === undefined || next.at > until) return false
    this.#pop()
    this.#now = next.at
    next.live = false
    next.owner.pending--
    this.#events++
    this.#lastOwner = next.owner.name
    this.#hash.number(next.at)
    this.note(`${next.owner.name} ${next.label}`)
    next.run()
    await settled()
    return true
  }

  /** Moves time to `at`, where nothing is due before it. */
  passTo(at: number): void {
    this.#now = Math.max(this.#now, at)
  }

  #dropDead(): void {
    for (let top = this.#heap[0]; top !== undefined && !(top.live && top.owner.alive); top = this.#heap[0]) {
      this.#pop()
      if (top.live) top.owner.pending--
    }
  }

  #push(event: Event): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent] as Event
      if (!isBefore(event, above)) break
      heap[at] = above
      at = parent
    }
    heap[at] = event
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop() as Event
    if (heap.length === 0) return
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child++
      const below = heap[child] as Event
      if (!isBefore(below, last)) break
      heap[at] = below
      at = child
    }
    heap[at] = last
  }
}

/** Who an event belongs to: a process that can be killed, with all it had planned. */
export interface Owner {
  readonly name: string
  alive: boolean
  /** Events in the queue: what will still happen to it (I8). */
  pending: number
}

export const createOwner = (name: string): Owner => ({ name, alive: true, pending: 0 })

/** Every promise that can go on has gone on when this resolves. */
export const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

interface Event {
  readonly at: number
  readonly tie: number
  readonly sequence: number
  readonly owner: Owner
  readonly label: string
  readonly run: () => void
  live: boolean
}

function isBefore(a: Event, b: Event): boolean {
  if (a.at !== b.at) return a.at < b.at
  return a.tie === b.tie ? a.sequence < b.sequence : a.tie < b.tie
}

/** 64 bits of FNV in two halves: enough to tell runs apart, cheap enough for every event. */
class TraceHash {
  #low = 0x811c9dc5
  #high = 0x9e3779b9

  add(text: string): void {
    for (let at = 0; at < text.length; at++) this.number(text.charCodeAt(at))
  }

  number(value: number): void {
    this.#low = Math.imul(this.#low ^ (value & 0xffff), 0x01000193)
    this.#high = Math.imul(this.#high ^ (value & 0xffff) ^ (this.#low >>> 13), 0x85ebca6b)
  }

  text(): string {
    return (this.#high >>> 0).toString(16).padStart(8, '0') + (this.#low >>> 0).toString(16).padStart(8, '0')
  }
}

import { MemoryLog, type MemorySnapshot } from '../src/cloud/log/memory.ts'
import type { Log } from '../src/cloud/log/log.ts'
import type { Clock } from '../src/kernel/clock.ts'
import type { Random } from '../src/kernel/random.ts'
import type { WireRecord } from '../src/protocol/records.ts'
import { SPACE_ID } from './directory.ts'
import type { CloudView } from './view.ts'

/** The cloud's storage: what is committed survives its process. */
export interface CloudDisk {
  /** Counts up with every committed writing transaction. */
  readonly commits: number
  open(place: {
    readonly clock: Clock
    readonly random: Random
    readonly step: (label: string) => Promise<void>
  }): Log
  kill(): void
  image(): CloudImage
  restore(image: CloudImage): void
  view(): CloudView
}

export type CloudImage = MemorySnapshot

export function createCloudDisk(from?: CloudImage): CloudDisk {
  let log: MemoryLog | null = null
  let kept: MemorySnapshot = from ?? { spaces: new Map() }
  let commits = 0
  let fresh = true
  const image = (): MemorySnapshot => log?.snapshot() ?? kept
  return {
    get commits() {
      return commits
    },
    open({ clock, random, step }) {
      fresh = true
      log = new MemoryLog(
        {
          clock,
          random,
          yield(point) {
            // A transaction is committed by the time it is answered; the first request begins the generation.
            if (point === 'answer' || fresh) commits++
            fresh = false
            return step(point)
          },
        },
        kept,
      )
      return log
    },
    kill() {
      kept = image()
      log = null
      commits++
    },
    image,
    restore(older) {
      kept = older
      log = null
      commits++
    },
    view: () => viewOf(image()),
  }
}

const NOTHING: CloudView = {
  epoch: '',
  generations: [],
  head: 0,
  floor: 0,
  records: new Map(),
  answers: [],
  mutations: new Map(),
}

function viewOf(snapshot: MemorySnapshot): CloudView {
  const space = snapshot.spaces.get(SPACE_ID)
  if (space === undefined) return NOTHING
  const records = new Map<string, WireRecord>()
  for (const [id, { standing }] of space.rows) records.set(id, standing.record)
  const mutations = new Map<string, { readonly mutation: number; readonly hash: string }>()
  const answers: string[] = []
  for (const [id, { last, answer }] of space.replicas) {
    mutations.set(id, { mutation: last.number, hash: last.hashes.at(-1) ?? '' })
    answers.push(answer)
  }
  const { epoch, generations, head, floor } = space
  return { epoch, generations, head, floor, records, answers, mutations }
}

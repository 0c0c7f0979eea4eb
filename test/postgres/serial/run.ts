import { expect } from 'vitest'

import type { BatchRow } from '../../../src/cloud/log/log.ts'
import { rowId } from '../../../src/cloud/log/standing.ts'
import { TidemarkError } from '../../../src/kernel/errors.ts'
import type { PushAnswer, PushRequest } from '../../../src/protocol/push.ts'
import type { Change, Cursor, WireRecord } from '../../../src/protocol/records.ts'
import { codeOf, hashOf, hydrateAll } from '../../../src/testing/log-contract/harness.ts'
import type { LogNodes } from '../log-nodes.ts'
import { mutationId, SerialNodes, type SerialNode } from './nodes.ts'
import { chanceOf, randomBatch, randomChanges, type Chance } from './random.ts'

export interface SerialOptions {
  readonly seed: number
  readonly nodes: number
  readonly replicas: number
  /** Of each replica. */
  readonly mutations: number
}

/** Several spaces on the same nodes at once: their replicas have names that differ. */
export interface Shared {
  readonly nodes: SerialNodes
  readonly prefix: string
}

/** A mutation as it was sent, and all that was answered to it. */
export interface SentMutation {
  readonly requests: readonly PushRequest[]
  readonly answers: PushAnswer[]
  /** Sent to one node, once. */
  once: boolean
}

export interface SentBatch {
  readonly rows: readonly BatchRow[]
  readonly now: number
  /** Null when nobody heard the answer. */
  stands: readonly boolean[] | null
}

/** All that was done, to be decided again. */
export interface SerialRun {
  readonly nodes: SerialNodes
  readonly mutations: ReadonlyMap<string, SentMutation>
  readonly batches: readonly SentBatch[]
  /** What a reader saw that followed by pulls. */
  readonly followed: ReadonlyMap<string, WireRecord>
  readonly forks: number
}

/** Everybody at once; fulfilled when all have done what they were to do. */
export async function runSerial(
  on: LogNodes,
  space: string,
  options: SerialOptions,
  shared?: Shared,
): Promise<SerialRun> {
  const chance = chanceOf(options.seed)
  const nodes = shared?.nodes ?? new SerialNodes(on, options.nodes, chance)
  const nameOf = (at: number): string => `${shared?.prefix ?? ''}r${at}`
  const anyNode = (): SerialNode => nodes.list[chance(nodes.list.length)] as SerialNode
  const mutations = new Map<string, SentMutation>()
  const batches: SentBatch[] = []
  let forks = 0
  let busy = true
  let reading = true
  const pace = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20))

  /** Like a client: the same bytes, until there is an answer. */
  async function send(request: PushRequest): Promise<PushAnswer> {
    for (let tries = 0; ; tries++) {
      try {
        return await anyNode().log.push(space, { request, hash: hashOf(request) })
      } catch (error) {
        if (tries > 50 || !(error instanceof TidemarkError) || error.code !== 'unavailable') throw error
      }
    }
  }

  async function replicate(replica: string): Promise<void> {
    const rows = new Map<string, number>()
    let head = 0
    let cursor: Cursor | null = null
    for (let mutation = 1; mutation <= options.mutations; mutation++) {
      if (cursor === null && chance(5) === 0) cursor = await follow(replica)
      const base = { space: 'name', replica, mutation, cursor, force: chance(4) === 0 }
      const of = chance(6) === 0 ? 2 + chance(2) : 1
      const requests = Array.from({ length: of }, (_, index): PushRequest => {
        const part = of === 1 ? {} : { part: { index, of, attempt: `${mutation}` } }
        return { ...base, ...part, changes: [...randomChanges(chance, { rows, head })] }
      })
      const sent: SentMutation = { requests, answers: [], once: true }
      mutations.set(mutationId(replica, mutation), sent)
      for (const part of requests.slice(0, -1)) await send(part)
      const last = requests.at(-1) as PushRequest
      const copies = chance(6) === 0 ? 2 : 1
      sent.answers.push(...(await Promise.all(Array.from({ length: copies }, () => send(last)))))
      if (chance(5) === 0) sent.answers.push(await send(last))
      sent.once = sent.answers.length === 1
      if (of === 1 && chance(10) === 0) {
        const other = { ...last, changes: [...last.changes, ...randomChanges(chance, { rows, head })] }
        if (other.changes.length === last.changes.length) continue
        expect(await codeOf(send(other))).toBe('replica_forked')
        forks++
      }
      const [answer] = sent.answers
      head = answer?.head ?? head
      const changes = requests.flatMap((request) => request.changes)
      for (const [at, result] of (answer?.results ?? []).entries()) {
        const { table, key } = changes[at] as Change
        const version =
          result.status === 'ok' ? result.version : result.status === 'conflict' ? result.current?.version : 0
        if (version) rows.set(rowId(table, key), version)
      }
    }
  }

  async function follow(replica: string): Promise<Cursor> {
    const { epoch, generation, head } = await anyNode().log.startHydrate(space, replica)
    return { epoch, generation: generation.id, version: head, high: head }
  }

  async function sendBatches(): Promise<void> {
    while (busy) {
      const { log, now } = anyNode()
      const batch: SentBatch = { rows: randomBatch(chance, batches.length), now, stands: null }
      batches.push(batch)
      try {
        batch.stands = await log.batch(space, batch.rows)
      } catch (error) {
        if (!(error instanceof TidemarkError) || error.code !== 'unavailable') throw error
      }
      await pace()
    }
  }

  async function collect(chances: Chance): Promise<void> {
    while (busy) {
      const { log, now } = anyNode()
      const retainSince = chances(2) === 0 ? 0 : now - 30 + chances(60)
      await log.collect(space, { liveSince: 0, retainSince })
      if (chances(4) === 0) {
        const life = `UPDATE tidemark.spaces SET boot = 'an earlier life' WHERE id = $1`
        await on.admin.query(life, [space])
      }
      await pace()
    }
  }

  /** Reads as a replica does: everything, then what is new. */
  async function read(): Promise<ReadonlyMap<string, WireRecord>> {
    let seen = new Map<string, WireRecord>()
    let cursor: Cursor | null = null
    const see = (record: WireRecord): void => {
      const id = rowId(record.table, record.key)
      // A hydrate's pages are of several moments: what they have is never older than its start.
      if ((seen.get(id)?.version ?? 0) <= record.version) seen.set(id, record)
    }
    for (let more = true; more || reading;) {
      const { log } = anyNode()
      try {
        if (cursor === null) {
          seen = new Map()
          cursor = await follow('reader')
          for (const record of await hydrateAll(log, { space, limit: 4 })) see(record)
        }
        // Asked before: what is done by now is seen.
        more = reading
        const page = await log.pull(space, { space: 'name', replica: 'reader', cursor, limit: 5 })
        for (const record of page.records) see(record)
        const { epoch, generation, next } = page
        cursor = { epoch, generation: generation.id, version: next, high: next }
        more ||= page.has_more
      } catch (error) {
        if (!(error instanceof TidemarkError)) throw error
        if (error.code === 'cursor_expired') cursor = null
        else if (error.code !== 'unavailable') throw error
        more = true
      }
    }
    return seen
  }

  const reader = read()
  const others = [sendBatches(), collect(chance)]
  // Whoever fails first is told of; the rest are waited for all the same.
  for (const other of [reader, ...others]) other.catch(() => {})
  const replicas = Array.from({ length: options.replicas }, (_, at) => replicate(nameOf(at)))
  await Promise.allSettled(replicas)
  busy = false
  await Promise.allSettled(others)
  reading = false
  await Promise.all([...replicas, ...others])
  const followed = await reader
  // Each last mutation once more, at every node.
  for (let at = 0; at < options.replicas; at++) {
    const sent = mutations.get(mutationId(nameOf(at), options.mutations)) as SentMutation
    const request = sent.requests.at(-1) as PushRequest
    sent.once = false
    for (const { log } of nodes.list)
      sent.answers.push(await log.push(space, { request, hash: hashOf(request) }))
  }
  return { nodes, mutations, batches, followed, forks }
}

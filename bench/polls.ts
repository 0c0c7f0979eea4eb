import { Agent, request as httpRequest } from 'node:http'

import type { Cursor } from '../src/protocol/records.ts'
import type { PullRequest } from '../src/protocol/pull.ts'
import { startPostgres } from '../test/postgres/server.ts'
import { cpuMs, n, residentMiB, type Print } from './figures.ts'
import { startRig, type Rig } from './rig.ts'

const COUNTS = [0, 1_000, 10_000]
/** A token holds at most 256 at the same time. */
const POLLS_PER_TOKEN = 250
/** Opened at the same time. */
const BATCH = 250
const SETTLE_MS = 3_000
const IDLE_MS = 5_000
const SPACE = 'polls'

/** What a node needs for polls that wait, in a file and on PostgreSQL: memory, and CPU while nothing happens. */
export async function measurePolls(print: Print): Promise<void> {
  await using server = await startPostgres()
  for (const [name, database] of [
    ['embedded', undefined],
    ['PostgreSQL', server.url],
  ] as const) {
    await using rig = await startRig(database === undefined ? {} : { database })
    const polls = new Polls(rig)
    await polls.begin()
    let before = 0
    for (const count of COUNTS) {
      await polls.fill(count)
      await pause(SETTLE_MS)
      const cpu = cpuMs(rig.cloudPid)
      await pause(IDLE_MS)
      const share = ((cpuMs(rig.cloudPid) - cpu) / IDLE_MS) * 100
      const resident = residentMiB(rig.cloudPid)
      if (count === 0) before = resident
      const each = count === 0 ? '' : `, ${(((resident - before) * 1_024) / count).toFixed(1)} KiB each`
      print(
        `${name}: ${n(count)} waiting polls`,
        `${resident} MiB${each}, ${share.toFixed(1)} % of a core`,
        '-',
      )
    }
    if (polls.answered > 0) print(`${name}: polls that did not wait`, n(polls.answered), '0')
    polls.close()
  }
}

class Polls {
  answered = 0
  readonly #rig: Rig
  readonly #agent = new Agent({ keepAlive: true, maxSockets: Infinity })
  #cursor: Cursor = { epoch: '', generation: '', version: 0, high: 0 }
  #token = ''
  #open = 0
  #closed = false

  constructor(rig: Rig) {
    this.#rig = rig
  }

  async begin(): Promise<void> {
    const headers = { authorization: `Bearer ${this.#rig.token}` }
    const response = await fetch(`${this.#rig.url}/sync/hydrate?space=${SPACE}&replica=first`, { headers })
    const [line = ''] = (await response.text()).split('\n')
    const { epoch, generation, head } = JSON.parse(line) as {
      readonly epoch: string
      readonly generation: { readonly id: string }
      readonly head: number
    }
    this.#cursor = { epoch, generation: generation.id, version: head, high: head }
  }

  async fill(count: number): Promise<void> {
    while (this.#open < count) {
      if (this.#open % POLLS_PER_TOKEN === 0) this.#token = await this.#rig.makeToken()
      await Promise.all(
        Array.from({ length: Math.min(BATCH, count - this.#open) }, () => this.#poll(`poll-${this.#open++}`)),
      )
    }
  }

  close(): void {
    this.#closed = true
    this.#agent.destroy()
  }

  /** Resolves when it is sent, and sends another when it is answered: they wait for 55 s at most. */
  #poll(replica: string): Promise<void> {
    const body: PullRequest = { space: SPACE, replica, cursor: this.#cursor, wait: 55 }
    const headers = { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json' }
    return new Promise((resolve) => {
      const request = httpRequest(
        `${this.#rig.url}/sync/pull`,
        { method: 'POST', agent: this.#agent, headers },
        (response) => {
          if (response.statusCode !== 200) this.answered++
          response.resume().on('end', () => this.#closed || void this.#poll(replica))
        },
      )
      request.on('error', () => {
        if (!this.#closed) this.answered++
      })
      request.on('finish', resolve)
      request.end(JSON.stringify(body))
    })
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

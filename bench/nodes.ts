import { Agent, request as httpRequest } from 'node:http'

import { uuidV7, systemRandom } from '../src/kernel/random.ts'
import { hlcFromMs } from '../src/kernel/hlc.ts'
import type { HydrateStart, PullAnswer, PullRequest } from '../src/protocol/pull.ts'
import type { Cursor } from '../src/protocol/records.ts'
import type { PushAnswer, PushRequest } from '../src/protocol/push.ts'
import { startPostgres } from '../test/postgres/server.ts'
import { cpuMs, n, type Print, residentMiB } from './figures.ts'
import { quantile, startRig, type Node } from './rig.ts'

const CLIENTS = 200
const PUSHES_PER_SECOND = 20
const WAIT_S = 25

/**
 * 200 clients with a long poll and 20 pushes a second each through two nodes on one PostgreSQL. Neighbours share a
 * space, on both nodes: with 100 spaces every push wakes one poll on the other node.
 */
export async function measureNodes(print: Print, seconds: number, spaces: number): Promise<void> {
  await using server = await startPostgres()
  await using rig = await startRig({ database: server.url, nodes: 2 })
  const cpuBefore = [...rig.nodes.map(({ pid }) => cpuMs(pid)), cpuMs(server.pid), ownCpuMs()]
  const load = new Load(rig.token)
  const clients = Array.from({ length: CLIENTS }, (_, at) => ({
    node: rig.nodes[at % 2] as Node,
    space: `space-${Math.floor(at / (CLIENTS / spaces))}`,
  }))
  const begun = performance.now()
  await load.run(clients, seconds)
  const ms = performance.now() - begun
  const asked = CLIENTS * PUSHES_PER_SECOND
  const rate = Math.round((load.pushMs.length * 1_000) / ms)
  print(
    `two nodes, ${CLIENTS} clients, ${seconds} s: pushes a second`,
    `${n(rate)} of ${n(asked)} asked for`,
    n(asked),
  )
  print('two nodes: errors', n(load.errors.length), '0')
  for (const error of new Set(load.errors)) print('two nodes: an error', error, '-')
  print('two nodes: a push answered', times(load.pushMs), '-')
  print('two nodes: a push here to its poll there', times(load.wakeMs), '-')
  print('two nodes: pushes whose poll was not seen to wake', n(load.unseen), '0')
  const cpu = [...rig.nodes.map(({ pid }) => cpuMs(pid)), cpuMs(server.pid), ownCpuMs()]
  const cores = cpu.map((used, at) => ((used - (cpuBefore[at] ?? 0)) / ms).toFixed(2))
  print('two nodes: cores of node, node, PostgreSQL, clients', cores.join(', '), '-')
  print(
    'two nodes: memory of the nodes',
    rig.nodes.map(({ pid }) => `${residentMiB(pid)} MiB`).join(', '),
    '-',
  )
}

const ownCpuMs = (): number => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}

const times = (samples: readonly number[]): string =>
  [0.5, 0.95, 0.99, 1]
    .map((share) => `${share === 1 ? 'max' : `p${share * 100}`} ${quantile(samples, share).toFixed(0)}`)
    .join(', ') + ' ms'

/** Clients as lean as they can be: the machine is the nodes'. */
class Load {
  readonly pushMs: number[] = []
  readonly wakeMs: number[] = []
  readonly errors: string[] = []
  readonly #token: string
  readonly #agent = new Agent({ keepAlive: true, maxSockets: Infinity })
  /** When what was pushed under this key was sent. */
  readonly #sent = new Map<string, number>()
  #ending = false

  constructor(token: string) {
    this.#token = token
  }

  get unseen(): number {
    return this.#sent.size
  }

  async run(
    clients: readonly { readonly node: Node; readonly space: string }[],
    seconds: number,
  ): Promise<void> {
    const readers: Promise<void>[] = []
    const replicas = clients.map(() => uuidV7(Date.now(), systemRandom))
    // Every space is there before anybody waits in it.
    for (const [at, { node, space }] of clients.entries())
      if (at % 2 === 0) await this.#push(node, this.#request(space, `first-${at}`, 1))
    this.pushMs.length = 0
    // Who begins to read behind a push is never told of it: all have begun before anybody pushes.
    const starts = await Promise.all(
      clients.map(({ node, space }, at) => this.#readHead(node, space, replicas[at] ?? '')),
    )
    for (const [at, { node, space }] of clients.entries()) {
      const cursor = starts[at]
      if (cursor !== undefined) readers.push(this.#guard(this.#read(node, space, replicas[at] ?? '', cursor)))
    }
    const until = performance.now() + seconds * 1_000
    await Promise.all(
      clients.map(({ node, space }, at) => this.#guard(this.#write(node, space, replicas[at] ?? '', until))),
    )
    // The last ones are on their way.
    for (let rest = 0; rest < 100 && this.#sent.size > 0; rest++) await pause(50)
    this.#ending = true
    // A last push wakes every reader.
    await Promise.all(
      clients.map(({ node, space }, at) =>
        this.#push(node, this.#request(space, `last-${at}`, 1)).catch(() => {}),
      ),
    )
    await Promise.all(readers)
    this.#agent.destroy()
  }

  async #write(node: Node, space: string, replica: string, until: number): Promise<void> {
    const every = 1_000 / PUSHES_PER_SECOND
    let due = performance.now() + Math.random() * every
    for (let mutation = 1; ; mutation++) {
      const early = due - performance.now()
      if (early > 0) await pause(early)
      if (performance.now() >= until) return
      const begun = performance.now()
      this.#sent.set(`["${replica}-${mutation}"]`, begun)
      await this.#push(node, this.#request(space, replica, mutation))
      this.pushMs.push(performance.now() - begun)
      // Who is late does not catch up: each has one push under way.
      due = Math.max(due + every, performance.now())
    }
  }

  async #readHead(node: Node, space: string, replica: string): Promise<Cursor> {
    const text = await this.#ask(node, 'GET', `/sync/hydrate?space=${space}&replica=${replica}`)
    const start = JSON.parse(text.slice(0, text.indexOf('\n'))) as HydrateStart
    return {
      epoch: start.epoch,
      generation: start.generation.id,
      version: start.head,
      high: start.head,
    }
  }

  async #read(node: Node, space: string, replica: string, from: Cursor): Promise<void> {
    let cursor = from
    while (!this.#ending) {
      const request: PullRequest = { space, replica, cursor, wait: WAIT_S }
      const answer = JSON.parse(await this.#ask(node, 'POST', '/sync/pull', request)) as PullAnswer
      const now = performance.now()
      for (const { key } of answer.records) {
        const sent = this.#sent.get(key)
        if (sent === undefined) continue
        this.wakeMs.push(now - sent)
        this.#sent.delete(key)
      }
      cursor = { ...cursor, generation: answer.generation.id, version: answer.next, high: answer.next }
    }
  }

  #request(space: string, replica: string, mutation: number): PushRequest {
    const id = `${replica}-${mutation}`
    const change = {
      table: 'notes',
      key: `["${id}"]`,
      op: 'put',
      base: 0,
      hlc: hlcFromMs(Date.now()),
    } as const
    return {
      space,
      replica,
      mutation,
      cursor: null,
      changes: [{ ...change, fields: { id, body: 'a short note' } }],
    }
  }

  async #push(node: Node, request: PushRequest): Promise<void> {
    const answer = JSON.parse(await this.#ask(node, 'POST', '/sync/push', request)) as PushAnswer
    if (answer.results[0]?.status !== 'ok') throw new Error(`a push was ${answer.results[0]?.status}`)
  }

  async #guard(work: Promise<void>): Promise<void> {
    await work.catch((error: unknown) => this.errors.push(String(error)))
  }

  #ask(node: Node, method: string, path: string, body?: object): Promise<string> {
    return new Promise((resolve, reject) => {
      const headers = { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json' }
      const request = httpRequest(node.url + path, { method, agent: this.#agent, headers }, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (part: string) => (text += part))
        response.on('error', reject)
        response.on('end', () =>
          response.statusCode === 200
            ? resolve(text)
            : reject(new Error(`${response.statusCode} ${text.slice(0, 200)}`)),
        )
      })
      request.on('error', reject)
      request.end(body === undefined ? undefined : JSON.stringify(body))
    })
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

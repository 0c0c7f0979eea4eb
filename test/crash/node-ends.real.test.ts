import { setTimeout as sleep } from 'node:timers/promises'

import { expect, test } from 'vitest'

import { SPACE } from '../../sim/directory.ts'
import { openDirectory } from '../../src/cloud/server/storage.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { nodeCodec } from '../../src/providers/cloud/node-codec.ts'
import { createCloudProvider } from '../../src/providers/cloud/provider.ts'
import { startBalancer } from '../cloud/balancer.ts'
import { pushBody, put } from '../cloud/requests.ts'
import { ask, makeTestToken } from '../cloud/test-cloud.ts'
import { createWorld, type Device } from '../devices/two-devices.ts'
import { openTestDatabase } from '../postgres/database.ts'
import { checkDatabase } from './cluster-check.ts'
import { openNodes } from './nodes.ts'

/** A node of two ends, killed or stopped, with requests under way and pulls waiting: the other goes on. */

async function openCluster() {
  const database = await openTestDatabase()
  const nodes = openNodes(['--json', 'cloud', '--database', database.url, '--port', '0'])
  const balancer = await startBalancer(() => nodes.ports())
  nodes.start(0)
  nodes.start(1)
  await nodes.untilReady()
  await using directory = await openDirectory({ database: { url: database.url } }, systemClock)
  const { token } = await makeTestToken(directory, { defaultSpace: SPACE })
  return {
    nodes,
    token,
    url: `http://127.0.0.1:${balancer.port}`,
    database: database.url,
    async [Symbol.asyncDispose]() {
      await balancer[Symbol.asyncDispose]()
      await nodes[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
    },
  }
}

const ENDS = ['SIGKILL', 'SIGTERM'] as const
const REPLICAS = 12
const ROUNDS = 4

/** Answers that a client meets, by what they say; 'network' where there was none. */
type Met = Map<string, number>

/** One mutation, the same bytes again until it is answered: what every client does. */
async function pushUntilDone(url: string, token: string, body: string, met: Met): Promise<unknown> {
  for (let tries = 0; tries < 500; tries++) {
    const answer = await ask(url, 'POST', '/sync/push', {
      body,
      headers: { authorization: `Bearer ${token}` },
    }).catch(() => null)
    if (answer?.status === 200) return answer.json
    const said = answer === null ? 'network' : `${answer.status} ${answer.code}`
    met.set(said, (met.get(said) ?? 0) + 1)
    const error = (answer?.json as { readonly error?: { readonly retry?: boolean } } | undefined)?.error
    if (answer !== null && error?.retry !== true) throw new Error(`answered with ${said}: ${answer.text}`)
    await sleep(20)
  }
  throw new Error('it is never answered')
}

test.for(ENDS)(
  'I3: %s of a node under load loses no push, doubles none, and is answered by none for good',
  async (signal) => {
    await using cluster = await openCluster()
    const { nodes, url, token } = cluster
    const met: Met = new Map()
    let [running, pushed] = [true, 0]
    const work = async (no: number): Promise<void> => {
      for (let mutation = 1; running; mutation++, pushed++) {
        const changes = [put(`${no}-${mutation}`, { name: 'of the load' })]
        const body = JSON.stringify(pushBody(mutation, changes, { space: SPACE, replica: `replica-${no}` }))
        expect(await pushUntilDone(url, token, body, met)).toMatchObject({ results: [{ status: 'ok' }] })
      }
    }
    const load = Promise.all(Array.from({ length: REPLICAS }, (_, no) => work(no)))
    const more = async (count: number): Promise<void> => {
      const until = pushed + count
      while (pushed < until) await Promise.race([sleep(5), load])
    }
    for (let round = 0; round < ROUNDS; round++) {
      await more(50)
      await nodes.kill(round % 2, signal)
      await more(50)
      nodes.start(round % 2)
      await nodes.untilReady()
    }
    running = false
    await load
    const counts = await checkDatabase(cluster.database, pushed)
    expect(counts).toMatchObject({ live: pushed, head: pushed, generations: 1 })
    expect(nodes.failures).toEqual([])
    // What a client meets passes, and is over with the same request again: else `pushUntilDone` has thrown.
    console.log(signal, JSON.stringify({ pushed, met: Object.fromEntries(met) }))
  },
)

test('I8: devices whose node is killed with their pulls waiting go on with the other, in step', async () => {
  await using cluster = await openCluster()
  const { nodes, url, token } = cluster
  await using world = createWorld()
  const devices: Device[] = []
  for (const name of ['a', 'b', 'c', 'd']) {
    const provider = createCloudProvider({
      endpoint: url,
      token,
      device: name,
      clock: systemClock,
      codec: nodeCodec,
    })
    devices.push(await world.device(name, { provider, listen: true }))
  }
  const written: string[] = []
  const write = (device: Device): void => {
    const id = `n${written.length}`
    written.push(id)
    device.database.write((app) => app.insert('notes', { id, title: id, body: 'x' }))
    void device.engine.syncNow().catch(() => {})
  }
  const idsOf = ({ database }: Device) => [...database.rows('notes')].map(({ id }) => String(id)).sort()
  const inStep = async (): Promise<void> => {
    for (const device of devices)
      await expect.poll(() => idsOf(device), { timeout: 60_000 }).toEqual(written.toSorted())
  }
  for (const device of devices) write(device)
  await inStep()
  for (const victim of [0, 1]) {
    // Everybody waits for news by now, half of them at the victim; and some are just sending.
    for (const device of devices) write(device)
    await nodes.kill(victim)
    for (const device of devices) write(device)
    await inStep()
    nodes.start(victim)
    await nodes.untilReady()
  }
  for (const device of devices) expect(await device.store.listInbox({ open: true })).toEqual([])
})

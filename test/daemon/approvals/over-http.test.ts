import { afterEach, beforeEach, expect, test } from 'vitest'

import { createDaemonClient, type DaemonClient } from '../../../src/client/daemon-client.ts'
import { MAX_TEXT_CHARS } from '../../../src/protocol/agents.ts'
import { startTestApi, TOKEN, type TestApi } from '../api-world.ts'
import { openWorld, refusalOf, type World } from './world.ts'

/** Approvals as an agent and a person have them: through the server and the client. */

let world: World
let api: TestApi
let client: DaemonClient
beforeEach(async () => {
  world = openWorld()
  api = await startTestApi({ handlers: world.approvals.handlers, streams: world.approvals.streams })
  client = createDaemonClient({ url: api.api.url, token: TOKEN })
})
afterEach(async () => {
  await api[Symbol.asyncDispose]()
  world[Symbol.dispose]()
})

const body = { id: 'a', tool_name: 'Bash', tool_input: { command: 'make' } }
async function untilWaiting(count: number): Promise<void> {
  for (let turns = 0; world.approvals.waiting !== count; turns++) {
    if (turns > 2_000) throw new Error(`${world.approvals.waiting} wait, not ${count}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

test('an agent asks and waits, a person decides, and both have the same', async () => {
  const asking = client.createApproval({ body, query: { wait: 60 } })
  await untilWaiting(1)
  expect(
    (await client.listApprovals({ query: { status: 'pending' } })).approvals.map(({ id }) => id),
  ).toEqual(['a'])
  const waiting = client.getApproval({ id: 'a', query: { wait: 60 } })
  await untilWaiting(2)
  const updated_input = { command: 'make -j2' }
  const decided = await client.decideApproval({ id: 'a', body: { decision: 'approve', updated_input } })
  expect(decided).toMatchObject({
    status: 'approved',
    updated_input,
    tool_input: body.tool_input,
    owned: true,
  })
  expect([await asking, await waiting, await client.createApproval({ body, query: { wait: 60 } })]).toEqual([
    decided,
    decided,
    decided,
  ])
})

test('what is refused says why: decided already, no comment, another request, another device', async () => {
  await client.createApproval({ body })
  expect((await api.ask('POST', '/api/v1/approvals/a/decide', { body: { decision: 'deny' } })).status).toBe(
    400,
  )
  expect(
    (await api.ask('POST', '/api/v1/approvals/a/decide', { body: { decision: 'deny', comment: ' \n' } }))
      .status,
  ).toBe(400)
  const denied = await client.decideApproval({ id: 'a', body: { decision: 'deny', comment: 'no' } })
  const { status, decided_at, decided_by } = denied
  const again = await api.ask('POST', '/api/v1/approvals/a/decide', { body: { decision: 'approve' } })
  expect([again.status, again.code]).toEqual([409, 'already_decided'])
  expect(again.json).toMatchObject({ error: { details: { status, decided_at, decided_by } } })
  expect(await refusalOf(client.cancelApproval({ id: 'a' }))).toMatchObject({ details: { status: 'denied' } })
  expect((await refusalOf(client.createApproval({ body: { ...body, context: 'x' } }))).code).toBe(
    'approval_differs',
  )
  world.agents.database.exec("INSERT INTO approvals (id, status) VALUES ('far', 'approved')")
  expect((await refusalOf(client.getApproval({ id: 'far', query: { wait: 1 } }))).code).toBe('not_owned')
})

test('a waiter that goes away is forgotten, and the end of the daemon ends those that stay', async () => {
  await client.createApproval({ body })
  const gone = new AbortController()
  const waiting = client.getApproval({ id: 'a', query: { wait: 60 }, signal: gone.signal })
  const staying = client.getApproval({ id: 'a', query: { wait: 60 } })
  await untilWaiting(2)
  gone.abort()
  expect((await refusalOf(waiting)).code).toBe('aborted')
  await untilWaiting(1)
  await api[Symbol.asyncDispose]()
  const end = await staying.catch((error: { readonly code?: string }) => error)
  // The state as it is, or no answer at all: never a decision.
  if ('status' in end) expect(end.status).toBe('pending')
  expect(world.approvals.waiting).toBe(0)
})

test('the longest context comes back whole while others are answered', async () => {
  const context = 'y'.repeat(MAX_TEXT_CHARS - 2) + '😀'
  await world.ask({ id: 'a', context })
  const reading = client.readApprovalContext({ id: 'a' })
  let done = false
  void reading.then(() => (done = true))
  let answered = 0
  while (!done && answered < 10_000) {
    await client.getApproval({ id: 'a' })
    answered++
  }
  expect((await reading) === context).toBe(true)
  expect(answered).toBeGreaterThan(3)
})

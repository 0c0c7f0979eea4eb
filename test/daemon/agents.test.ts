import { expect, test } from 'vitest'

import { openRig } from './agents-rig.ts'

test('D6: an upsert never replaces what is known by what is absent or null; only PATCH with null clears', async () => {
  using rig = openRig()
  const full = { id: 's', title: 'a title', cost: 1.5, created_at: 5, message_count: 3, source: 'x' }
  await rig.ask('createSession', { body: full })
  const again = await rig.ask('createSession', { body: { id: 's', title: null, model: 'm', cost: 2 } })
  expect(again).toMatchObject({ title: 'a title', cost: 2, model: 'm', created_at: 5, message_count: 3 })
  const cleared = await rig.ask('updateSession', { id: 's', body: { title: null, source: 'y' } })
  expect(cleared).toMatchObject({ title: null, source: 'y', model: 'm' })
})

test('a request that is repeated writes nothing, and wakes nobody', async () => {
  using rig = openRig()
  const { id } = await rig.ask('createSession', { body: { id: 's', title: 'a' } })
  const body = { messages: [{ id: 'm', text: 'one', raw: { a: [1, null] } }] }
  const first = await rig.ask('createMessages', { id, body })
  const [wakes, lines] = [rig.wakes(), countLines(rig.agents.database)]
  expect(await rig.ask('createMessages', { id, body })).toEqual(first)
  await rig.ask('createSession', { body: { id: 's', title: 'a' } })
  expect([rig.wakes(), countLines(rig.agents.database)]).toEqual([wakes, lines])
})

const countLines = (database: { prepare(sql: string): { pluck(): { get(): unknown } } }): unknown =>
  database.prepare('SELECT count(*) FROM local_changes').pluck().get()

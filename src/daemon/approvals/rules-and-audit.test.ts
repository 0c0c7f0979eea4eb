import { expect, it } from 'vitest'

import { DENY, openWorld, refusalOf, requestOf } from '../../../test/daemon/approvals/world.ts'
import { createManualClock } from '../../testing/manual-clock.ts'
import { MAX_AUDIT_LINES, openAudit } from './audit.ts'
import { MAX_RULES } from './rule-book.ts'

type World = ReturnType<typeof openWorld>
const rulesOf = async (world: World) =>
  (await world.approvals.handlers.listRules(requestOf({ id: undefined, query: undefined, body: undefined })))
    .rules
const remove = async (world: World, id: string) =>
  world.approvals.handlers.deleteRule(requestOf({ id, query: undefined, body: undefined }))
const audit = async (world: World, query: { cursor?: string; limit?: number } = {}) =>
  world.approvals.handlers.listAudit(requestOf({ id: undefined, query, body: undefined }))

it('keeps rules, oldest first, over restarts, until they are removed', async () => {
  const clock = createManualClock(1_000)
  using world = openWorld({ clock })
  const made = []
  for (const command of ['a', 'b', 'c']) {
    made.push(await world.rule({ action: 'allow', tool_name: 'Bash', command, note: command }))
    clock.elapse(1)
  }
  expect(made[0]).toEqual({
    id: made[0]?.id,
    action: 'allow',
    tool_name: 'Bash',
    command: 'a',
    note: 'a',
    created_at: 1_000,
  })
  expect(await rulesOf(world)).toEqual(made)
  const after = world.reopen()
  expect(await rulesOf(after)).toEqual(made)
  const id = made[1]?.id ?? ''
  expect(await remove(after, id)).toEqual({ removed: true })
  expect((await refusalOf(remove(after, id))).code).toBe('not_found')
  expect(await rulesOf(after)).toEqual([made[0], made[2]])
  expect((await refusalOf(after.rule({ action: 'allow', tool_name: 'Bash', command: 'a; b' }))).code).toBe(
    'unprocessable',
  )
  expect((await refusalOf(after.rule({ action: 'deny', tool_name: 'Bash', note: '\ud800' }))).code).toBe(
    'bad_request',
  )
})

it('judges by the rules of the moment, and leaves what they decided', async () => {
  using world = openWorld()
  const tool_input = { command: 'npm test' }
  const allow = await world.rule({ action: 'allow', tool_name: 'Bash', command: 'npm test' })
  const allowed = await world.ask({ id: 'a', tool_input })
  expect(allowed).toMatchObject({ status: 'approved', comment: null, decided_at: allowed.created_at })
  const ask = await world.rule({ action: 'ask', tool_name: 'Bash' })
  expect(await world.ask({ id: 'b', tool_input })).toMatchObject({ status: 'pending', decided_by: null })
  const deny = await world.rule({ action: 'deny', tool_name: 'Bash', command_prefix: 'npm' })
  expect(await world.ask({ id: 'c', tool_input })).toMatchObject({
    status: 'denied',
    decided_by: `rule:${deny.id}`,
  })
  for (const { id } of [allow, ask, deny]) await remove(world, id)
  expect(await world.ask({ id: 'a', tool_input })).toEqual(allowed)
  expect(await world.ask({ id: 'd', tool_input })).toMatchObject({ status: 'pending' })
  expect((await refusalOf(world.decide('c'))).code).toBe('already_decided')
  expect(world.events().map(({ type, record_id }) => `${record_id} ${type}`)).toEqual([
    'a approval_created',
    'a approval_resolved',
    'b approval_created',
    'c approval_created',
    'c approval_resolved',
    'd approval_created',
  ])
})

it('follows links in a path before it judges', async () => {
  using world = openWorld()
  await world.rule({ action: 'allow', tool_name: 'Read', path: `${world.folders.data}/` })
  const ask = (file_path: string) => world.ask({ tool_name: 'Read', tool_input: { file_path } })
  expect(await ask(`${world.folders.data}/daemon.db`)).toMatchObject({ status: 'approved' })
  expect(await ask('/etc/passwd')).toMatchObject({ status: 'pending' })
})

it('tells who decided what, newest first, and never an input', async () => {
  using world = openWorld()
  const rule = await world.rule({ action: 'allow', tool_name: 'Bash', command: 'secret-1' })
  await world.ask({ id: 'a', tool_input: { command: 'secret-1' } })
  await world.ask({ id: 'b', tool_input: { command: 'secret-2' }, context: 'secret-3' })
  await world.decide('b', DENY)
  await world.ask({ id: 'c' })
  await world.cancel('c')
  await remove(world, rule.id)
  const { entries, next } = await audit(world)
  expect(entries.map(({ action, approval_id, rule_id, by }) => [action, approval_id, rule_id, by])).toEqual([
    ['rule_deleted', null, rule.id, 'local'],
    ['approval_cancelled', 'c', null, 'local'],
    ['approval_denied', 'b', null, 'local'],
    ['approval_approved', 'a', rule.id, `rule:${rule.id}`],
    ['rule_created', null, rule.id, 'local'],
  ])
  expect(next).toBe(null)
  expect(JSON.stringify(entries)).not.toContain('secret')
  const first = await audit(world, { limit: 3 })
  const second = await audit(world, { limit: 3, cursor: first.next ?? '' })
  expect([...first.entries, ...second.entries]).toEqual(entries)
  expect([second.next, (await audit(world, { limit: 5 })).next]).toEqual([null, null])
})

it('keeps a bounded number of lines and of rules', async () => {
  using world = openWorld()
  world.database.exec("INSERT INTO audit (id, at, action, by) VALUES (1, 0, 'x', 'x'), (1500, 0, 'x', 'x')")
  world.database
    .prepare("INSERT INTO audit (id, at, action, by) VALUES (?, 0, 'x', 'x')")
    .run(MAX_AUDIT_LINES + 998)
  const { append } = openAudit(world.database, createManualClock())
  append({ action: 'x', by: 'x' })
  expect((await audit(world)).entries.map(({ id }) => id)).toContain(1)
  append({ action: 'x', by: 'x' })
  expect((await audit(world)).entries.map(({ id }) => id)).toEqual([
    ...[2, 1, 0].map((n) => MAX_AUDIT_LINES + 998 + n),
    1_500,
  ])
  world.database.transaction(() => {
    const insert = world.database.prepare(
      "INSERT INTO rules (id, action, tool_name, created_at) VALUES (?, 'ask', 'x', 0)",
    )
    for (let n = 0; n < MAX_RULES; n++) insert.run(`${n}`)
  })()
  expect((await refusalOf(world.rule({ action: 'ask', tool_name: 'x' }))).code).toBe('unprocessable')
})

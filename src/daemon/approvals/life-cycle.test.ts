import { describe, expect, it } from 'vitest'

import {
  APPROVE,
  DENY,
  openWorld,
  refusalOf,
  requestOf,
  settle,
} from '../../../test/daemon/approvals/world.ts'
import { createManualClock } from '../../testing/manual-clock.ts'

const START = 1_700_000_000_000
const worldAt = () => {
  const clock = createManualClock(START)
  return { clock, world: openWorld({ clock }) }
}
const auditOf = async (world: ReturnType<typeof openWorld>) => {
  const { entries } = await world.approvals.handlers.listAudit(
    requestOf({ id: undefined, query: {}, body: undefined }),
  )
  return entries.map(({ action, approval_id, by }) => ({ action, approval_id, by }))
}

describe('asking', () => {
  it('answers what was asked, pending, with the time it has', async () => {
    using world = openWorld({ clock: createManualClock(START) })
    const input = {
      id: 'a',
      session_id: 's',
      tool_call_id: 't',
      tool_name: 'Write',
      tool_input: { file_path: '/x', content: 'é\0\u2028', n: [1, null, { __proto__: null }] },
      context: 'ä'.repeat(10),
      context_type: 'diff',
    }
    const { context: _, ...kept } = input
    expect(await world.ask({ ...input, expires_in: 60 })).toEqual({
      ...kept,
      context_size: 20,
      status: 'pending',
      comment: null,
      updated_input: null,
      decided_by: null,
      created_at: START,
      expires_at: START + 60_000,
      decided_at: null,
      owned: true,
    })
    expect(await world.get('a')).toEqual(await world.ask({ ...input, expires_in: 60 }))
    expect((await world.ask()).expires_at).toBe(START + 1_800_000)
    expect(world.events()[0]).toEqual({ type: 'approval_created', record_id: 'a', session_id: 's' })
  })

  it('keeps the context of a decided question for a month, and that of a pending one', async () => {
    const { clock, world } = worldAt()
    using _ = world
    await world.ask({ id: 'a', context: 'x' })
    await world.ask({ id: 'b', context: 'x', expires_in: 604_800 })
    await world.decide('a')
    clock.elapse(29 * 86_400_000)
    await world.ask({ id: 'c', context: 'x' })
    expect(await world.get('a')).toMatchObject({ context_size: 1 })
    clock.elapse(2 * 86_400_000)
    await world.ask({ id: 'd', context: 'x' })
    expect(await world.get('a')).toMatchObject({ status: 'approved', context_size: null })
    expect(await world.get('b')).toMatchObject({ status: 'expired', context_size: 1 })
    expect(await world.get('d')).toMatchObject({ context_size: 1 })
  })

  it('gives a question a second at least and a week at most, whatever the setting says', async () => {
    for (const [expirySeconds, ms] of [
      [0, 1_000],
      [-5, 1_000],
      [1.2345, 1_235],
      [1e300, 604_800_000],
    ] as const) {
      using world = openWorld({ clock: createManualClock(START), expirySeconds })
      expect((await world.ask()).expires_at).toBe(START + ms)
    }
  })

  it('answers the same approval to the same request, in whatever order its keys come, and refuses another', async () => {
    using world = openWorld()
    const input = { id: 'a', tool_input: { command: 'x', deep: { a: 1, b: [2, { c: 3, d: 4 }] } } }
    const first = await world.ask(input)
    expect(
      await world.ask({ tool_input: { deep: { b: [2, { d: 4, c: 3 }], a: 1 }, command: 'x' }, id: 'a' }),
    ).toEqual(first)
    const others = [
      { id: 'a' },
      { ...input, tool_name: 'bash' },
      { ...input, session_id: 's' },
      { ...input, context: '' },
      { ...input, expires_in: 5 },
      { ...input, tool_input: { command: 'x', deep: { a: 1, b: [{ c: 3, d: 4 }, 2] } } },
      { ...input, tool_input: { command: 'x', deep: { a: '1', b: [2, { c: 3, d: 4 }] } } },
    ]
    for (const other of others) expect((await refusalOf(world.ask(other))).code).toBe('approval_differs')
    await world.decide('a')
    expect(await world.ask(input)).toMatchObject({ status: 'approved' })
    expect(world.events().map(({ type }) => type)).toEqual(['approval_created', 'approval_resolved'])
  })

  it('refuses what could not be kept exactly, and names the field', async () => {
    using world = openWorld()
    let deep: unknown = 0
    for (let depth = 0; depth < 100; depth++) deep = [deep]
    const inexact = [
      ['context', { context: 'a\ud800b' }],
      ['id', { id: '\udc00' }],
      ['tool_name', { tool_name: 'Bash\ud83d' }],
      ['session_id', { session_id: '\ud800' }],
      ['tool_input', { tool_input: { a: ['\ud800'] } }],
      ['tool_input', { tool_input: { '\ud800': 1 } }],
      ['tool_input', { tool_input: JSON.parse('[1e999]') as unknown }],
      ['tool_input', { tool_input: deep }],
    ] as const
    for (const [field, input] of inexact)
      expect(await refusalOf(world.ask(input))).toEqual({ code: 'bad_request', details: { field } })
    await world.ask({ id: 'a' })
    const decision = { decision: 'approve', updated_input: ['\ud800'] } as const
    expect(await refusalOf(world.decide('a', decision))).toEqual({
      code: 'bad_request',
      details: { field: 'updated_input' },
    })
    expect((await world.list()).approvals).toHaveLength(1)
  })
})

describe('D1: a decision is final', () => {
  const decisions = [
    [
      'approved',
      (world: ReturnType<typeof openWorld>) =>
        world.decide('a', { decision: 'approve', comment: 'fine', updated_input: { b: 1 } }),
    ],
    [
      'approved',
      (world: ReturnType<typeof openWorld>) =>
        world.decide('a', { decision: 'approve', updated_input: null }),
    ],
    ['denied', (world: ReturnType<typeof openWorld>) => world.decide('a', DENY)],
    ['cancelled', (world: ReturnType<typeof openWorld>) => world.cancel('a')],
  ] as const
  it.each(decisions)('%s', async (status, decide) => {
    const { clock, world } = worldAt()
    using _ = world
    await world.ask({ id: 'a', session_id: 's' })
    clock.elapse(500)
    const decided = await decide(world)
    expect(decided).toMatchObject({ status, decided_by: 'local', decided_at: START + 500 })
    const details = { status, decided_at: START + 500, decided_by: 'local' }
    for (const again of [
      () => world.decide('a'),
      () => world.decide('a', DENY),
      () => world.cancel('a'),
      () => decide(world),
    ])
      expect(await refusalOf(again())).toEqual({ code: 'already_decided', details })
    for (const ms of [1_000, 86_400_000, -90_000_000]) {
      clock.elapse(ms)
      expect(await world.get('a')).toEqual(decided)
    }
    const after = world.reopen()
    expect(await after.get('a')).toEqual(decided)
    expect(after.events()).toEqual([
      { type: 'approval_created', record_id: 'a', session_id: 's' },
      { type: 'approval_resolved', record_id: 'a', session_id: 's' },
    ])
    expect(await auditOf(after)).toEqual([{ action: `approval_${status}`, approval_id: 'a', by: 'local' }])
  })

  it('takes the edited input as it came', async () => {
    using world = openWorld()
    await world.ask({ id: 'a', tool_input: { command: 'a' } })
    const decided = await world.decide('a', {
      decision: 'approve',
      updated_input: { command: 'b', x: [null] },
    })
    expect(decided).toMatchObject({
      tool_input: { command: 'a' },
      updated_input: { command: 'b', x: [null] },
    })
  })

  it('refuses to decide what is not there', async () => {
    using world = openWorld()
    for (const call of [world.decide('x'), world.cancel('x'), world.get('x')])
      expect((await refusalOf(call)).code).toBe('not_found')
  })

  it('lets one of a hundred win', async () => {
    using world = openWorld()
    for (let round = 0; round < 5; round++) {
      const id = `a${round}`
      await world.ask({ id })
      const deciders = Array.from({ length: 100 }, async (_, n) => {
        await settle()
        return n % 3 === 0
          ? world.cancel(id)
          : world.decide(id, n % 3 === 1 ? APPROVE : { ...DENY, comment: `${n}` })
      })
      const ends = await Promise.allSettled(deciders)
      const won = ends.flatMap((end) => (end.status === 'fulfilled' ? [end.value] : []))
      expect(won).toEqual([await world.get(id)])
      for (const end of ends)
        if (end.status === 'rejected') expect(end.reason).toMatchObject({ code: 'already_decided' })
    }
    expect(world.events().filter(({ type }) => type === 'approval_resolved')).toHaveLength(5)
  })

  it('tells nobody of a decision that could not be written', async () => {
    using world = openWorld()
    await world.ask({ id: 'a' })
    const waiting = world.get('a', 60)
    const before = world.woken.count
    world.database.exec("CREATE TRIGGER fails BEFORE INSERT ON audit BEGIN SELECT raise(FAIL, 'x'); END")
    await expect(world.decide('a')).rejects.toThrow()
    expect(world.database.inTransaction).toBe(false)
    expect([world.woken.count, world.approvals.waiting]).toEqual([before, 1])
    expect(await world.get('a')).toMatchObject({ status: 'pending' })
    world.database.exec('DROP TRIGGER fails')
    expect(await world.decide('a', DENY)).toEqual(await waiting)
  })

  it('decides nothing within the transaction of somebody else, which may yet be undone', async () => {
    using world = openWorld({ durable: true })
    await world.ask({ id: 'a' })
    world.database.exec('BEGIN')
    await expect(world.decide('a')).rejects.toMatchObject({ code: 'invariant' })
    world.database.exec('ROLLBACK')
    expect(await world.get('a')).toMatchObject({ status: 'pending' })
    expect(world.database.pragma('synchronous', { simple: true })).toBe(2)
  })

  it('answers a decision though a listener fails', async () => {
    using world = openWorld()
    await world.ask({ id: 'a' })
    const waiting = world.get('a', 60)
    world.database.exec('DROP INDEX approvals_uncopied')
    const decided = await world.decide('a')
    expect([decided.status, (await waiting).status]).toEqual(['approved', 'approved'])
  })
})

describe('expiry', () => {
  it('ends at its time, tells who waits, and stays', async () => {
    const { clock, world } = worldAt()
    using _ = world
    await world.ask({ id: 'a', expires_in: 10 })
    const waiting = world.get('a', 60)
    clock.elapse(9_999)
    expect(await world.get('a')).toMatchObject({ status: 'pending' })
    clock.elapse(1)
    const ended = { status: 'expired', decided_by: 'expiry', decided_at: START + 10_000, comment: null }
    expect(await waiting).toMatchObject(ended)
    expect(await refusalOf(world.decide('a'))).toMatchObject({
      code: 'already_decided',
      details: { status: 'expired' },
    })
    clock.elapse(-20_000)
    expect(await world.get('a')).toMatchObject(ended)
    expect(await refusalOf(world.cancel('a'))).toMatchObject({ code: 'already_decided' })
    expect(await auditOf(world)).toEqual([{ action: 'approval_expired', approval_id: 'a', by: 'expiry' }])
    expect(world.events().map(({ type }) => type)).toEqual(['approval_created', 'approval_resolved'])
  })

  it('refuses a decision that comes late though no timer ran, and is expired from then on', async () => {
    for (const late of [0, 1, 100_000]) {
      let now = START
      const clock = { now: () => now, after: () => () => {} }
      using world = openWorld({ clock })
      await world.ask({ id: 'a', expires_in: 10 })
      now = START + 10_000 + late
      const refusal = { status: 'expired', decided_at: START + 10_000, decided_by: 'expiry' }
      expect(await refusalOf(world.decide('a'))).toEqual({ code: 'already_decided', details: refusal })
      now = START
      expect(await refusalOf(world.decide('a'))).toEqual({ code: 'already_decided', details: refusal })
    }
  })

  it.each(['get', 'list', 'ask'] as const)('is seen by %s though no timer ran', async (how) => {
    let now = START
    using world = openWorld({ clock: { now: () => now, after: () => () => {} } })
    const input = { id: 'a', expires_in: 10 }
    await world.ask(input)
    now += 10_000
    const seen =
      how === 'get'
        ? await world.get('a')
        : how === 'ask'
          ? await world.ask(input)
          : (await world.list()).approvals[0]
    expect(seen).toMatchObject({ status: 'expired' })
    expect((await world.list({ status: 'pending' })).approvals).toEqual([])
  })

  it('keeps one timer, of 30 s at most: machines sleep, and clocks are set', async () => {
    const { clock, world } = worldAt()
    using _ = world
    await world.ask({ id: 'far', expires_in: 3_600 })
    await world.ask({ id: 'near', expires_in: 20 })
    clock.elapse(100)
    expect(clock.pending).toEqual([19_900])
    clock.elapse(19_900)
    clock.elapse(1_000)
    expect(clock.pending).toEqual([29_000])
    clock.elapse(3_600_000)
    expect(await world.get('far')).toMatchObject({ status: 'expired' })
    clock.elapse(1_000)
    expect(clock.pending).toEqual([])
  })

  it('ends what ran out while no daemon ran, and in many pieces', async () => {
    const { clock, world } = worldAt()
    using _ = world
    world.database.exec('BEGIN')
    for (let n = 0; n < 1_203; n++) {
      const row = { id: `a${n}`, expires: START + (n % 3) }
      world.database
        .prepare(
          `INSERT INTO approvals (id, tool_name, request_hash, status, created_at, expires_at) VALUES (@id, 'x', 'x', 'pending', 0, @expires)`,
        )
        .run(row)
    }
    world.database.exec('COMMIT')
    await world.ask({ id: 'later', expires_in: 100 })
    const after = world.reopen()
    clock.elapse(2_000)
    expect((await after.list({ status: 'pending' })).approvals.map(({ id }) => id)).toEqual(['later'])
    expect(after.events().filter(({ type }) => type === 'approval_resolved')).toHaveLength(1_203)
    after.approvals[Symbol.dispose]()
    await after.decide('later')
    expect(clock.pending).toEqual([])
  })

  it('tries again where it could not be written', async () => {
    const { clock, world } = worldAt()
    using _ = world
    await world.ask({ id: 'a', expires_in: 10 })
    world.database.exec("CREATE TRIGGER fails BEFORE INSERT ON audit BEGIN SELECT raise(FAIL, 'x'); END")
    clock.elapse(13_000)
    expect(world.logged.some((line) => line.startsWith('approvals could not expire'))).toBe(true)
    world.database.exec('DROP TRIGGER fails')
    clock.elapse(1_000)
    expect(world.events().map(({ type }) => type)).toEqual(['approval_created', 'approval_resolved'])
  })
})

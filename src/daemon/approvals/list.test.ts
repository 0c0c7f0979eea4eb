import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Check } from 'typebox/value'

import { openWorld, refusalOf } from '../../../test/daemon/approvals/world.ts'
import { Approval, ApprovalPage, type ApprovalStatus } from '../../protocol/approvals.ts'
import { createManualClock } from '../../testing/manual-clock.ts'

const START = 1_700_000_000_000

/** A row as another device, or any program, may put it into agents.db. */
function putForeign(world: ReturnType<typeof openWorld>, row: { readonly [column: string]: unknown }): void {
  const columns = Object.keys(row)
  world.agents.database
    .prepare(
      `INSERT OR REPLACE INTO approvals (${columns.join(', ')}) VALUES (${columns.map((name) => `@${name}`).join(', ')})`,
    )
    .run(row)
}

describe('lists', () => {
  it('joins both devices, newest first, page by page, each once, whatever the size of a page', async () => {
    const clock = createManualClock(START)
    using world = openWorld({ clock })
    const ids: string[] = []
    for (let n = 0; n < 12; n++) {
      // Several of the same moment, in an order of ids that is not that of time.
      if (n % 3 === 0) clock.elapse(1)
      const id = `${String.fromCodePoint(0x1f600 - n * 7_000)}${n}`
      if (n % 2 === 0) await world.ask({ id })
      else putForeign(world, { id, tool_name: 'Bash', status: 'pending', created_at: clock.now() })
      ids.push(id)
    }
    clock.elapse(1_000)
    const all = (await world.list()).approvals
    expect(all.map(({ id }) => id).sort()).toEqual([...ids].sort())
    const keyOf = ({ created_at, id }: Approval) => `${created_at} ${Buffer.from(id).toString('hex')}`
    expect(all.map(keyOf)).toEqual(all.map(keyOf).sort().toReversed())
    for (const limit of [1, 2, 5, 11, 12, 13]) {
      const seen: Approval[] = []
      let cursor: string | null = null
      for (let pages = 0; pages === 0 || cursor !== null; pages++) {
        const page: ApprovalPage = await world.list({ limit, ...(cursor === null ? {} : { cursor }) })
        seen.push(...page.approvals)
        cursor = page.next
        expect(pages).toBeLessThan(14)
      }
      expect(seen).toEqual(all)
    }
    expect(all.map(({ owned }) => owned)).toEqual(all.map(({ id }) => ids.indexOf(id) % 2 === 0))
  })

  it('filters by status and session, on both sides', async () => {
    using world = openWorld()
    for (const session_id of ['s', 't']) {
      await world.ask({ id: `own-${session_id}`, session_id })
      await world.ask({ id: `done-${session_id}`, session_id })
      await world.decide(`done-${session_id}`)
      for (const status of ['pending', 'approved', 'odd'])
        putForeign(world, { id: `${status}-${session_id}`, session_id, status, created_at: START })
    }
    const idsOf = async (query: { status?: ApprovalStatus; session_id?: string; owned?: 'true' | 'false' }) =>
      (await world.list(query)).approvals.map(({ id }) => id).sort()
    expect(await idsOf({ status: 'pending', session_id: 's' })).toEqual(['own-s', 'pending-s'])
    expect(await idsOf({ status: 'approved' })).toEqual(['approved-s', 'approved-t', 'done-s', 'done-t'])
    expect(await idsOf({ status: 'cancelled' })).toEqual(['odd-s', 'odd-t'])
    expect(await idsOf({ session_id: 't' })).toEqual(['approved-t', 'done-t', 'odd-t', 'own-t', 'pending-t'])
    expect(await idsOf({ status: 'pending', owned: 'true' })).toEqual(['own-s', 'own-t'])
    expect(await idsOf({ session_id: 's', owned: 'false' })).toEqual(['approved-s', 'odd-s', 'pending-s'])
    expect(await idsOf({ session_id: 'none' })).toEqual([])
  })

  it('ends a page early where its texts are large, and loses none', async () => {
    using world = openWorld()
    const large = 'x'.repeat(3 * 1024 * 1024)
    for (const id of ['a', 'b', 'c', 'd']) await world.ask({ id, tool_input: { large } })
    putForeign(world, { id: 'e', tool_input: JSON.stringify({ large: large.repeat(4) }), created_at: START })
    putForeign(world, { id: 'f', created_at: START - 1 })
    const pages: number[] = []
    let cursor: string | null = null
    do {
      const page: ApprovalPage = await world.list(cursor === null ? {} : { cursor })
      pages.push(page.approvals.length)
      cursor = page.next
    } while (cursor !== null)
    expect(pages).toEqual([2, 2, 1, 1])
  })

  it('refuses cursors that are none of it', async () => {
    using world = openWorld()
    for (const cursor of ['x', '', Buffer.from('audit:1:x').toString('base64url')])
      expect((await refusalOf(world.list({ cursor }))).code).toBe('bad_request')
  })

  it('answers those of this daemon alone where the copies cannot be read, and goes on with those', async () => {
    using world = openWorld()
    await world.ask({ id: 'a' })
    world.agents.database.exec('DROP TABLE approvals')
    expect((await world.list()).approvals.map(({ id }) => id)).toEqual(['a'])
    expect(await world.get('a')).toMatchObject({ status: 'pending' })
    expect(await world.decide('a')).toMatchObject({ status: 'approved' })
    expect(world.logged.join()).toContain('could not be read')
  })
})

describe('D2: copies of other devices', () => {
  it('are answered as what is valid of them, and are never owned', async () => {
    using world = openWorld()
    const value = fc.oneof(
      fc.string(),
      fc.constantFrom(
        'pending',
        'approved',
        'denied',
        '{"a":',
        '[1]',
        'null',
        '1e999',
        '['.repeat(9_999),
        '\0',
      ),
      fc.double(),
      fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n),
      fc.uint8Array().map((bytes) => Buffer.from(bytes)),
      fc.constant(null),
    )
    const columns = [
      'session_id',
      'tool_call_id',
      'tool_name',
      'tool_input',
      'context',
      'context_type',
      'status',
      'comment',
    ]
    const others = ['updated_input', 'decided_by', 'created_at', 'expires_at', 'decided_at']
    const row = fc.record(Object.fromEntries([...columns, ...others].map((name) => [name, value])))
    await world.ask({ id: 'own' })
    let n = 0
    world.agents.database.exec('BEGIN')
    await fc.assert(
      fc.asyncProperty(row, async (columns) => {
        const id = `f${n++}`
        putForeign(world, { ...columns, id })
        const found = await world.get(id)
        expect(Check(Approval, found)).toBe(true)
        expect(found).toMatchObject({ id, owned: false, context_size: null })
        if (columns['status'] !== 'approved') expect(found.status).not.toBe('approved')
        expect((await refusalOf(world.decide(id))).code).toBe('not_owned')
      }),
      { numRuns: 150 },
    )
    const page = await world.list({ limit: 500 })
    expect(Check(ApprovalPage, page)).toBe(true)
    expect(page.approvals.filter(({ owned }) => owned).map(({ id }) => id)).toEqual(['own'])
    expect(page.approvals).toHaveLength(n + 1)
    world.agents.database.exec('COMMIT')
  })

  it('are left out where their id is none', async () => {
    using world = openWorld()
    for (const id of [Buffer.from('a'), 'x'.repeat(300), '', Buffer.from([0xff])])
      putForeign(world, { id, status: 'approved' })
    expect((await world.list()).approvals).toEqual([])
  })

  it('can neither be decided nor waited for here', async () => {
    using world = openWorld()
    putForeign(world, { id: 'f', status: 'approved', context: 'x', tool_name: 'Bash' })
    expect(await world.get('f')).toMatchObject({ status: 'approved', owned: false })
    const calls = [world.decide('f'), world.cancel('f'), world.get('f', 0), world.get('f', 60)]
    for (const call of calls) expect((await refusalOf(call)).code).toBe('not_owned')
    const stream = world.context('f')[Symbol.asyncIterator]()
    expect((await refusalOf(stream.next())).code).toBe('not_found')
  })

  it('say nothing of what has the id of an own one, before it is asked or after', async () => {
    using world = openWorld()
    putForeign(world, { id: 'a', status: 'approved', updated_input: '"evil"', created_at: 1 })
    const asked = await world.ask({ id: 'a' })
    expect(asked).toMatchObject({ status: 'pending', owned: true })
    putForeign(world, {
      id: 'a',
      status: 'approved',
      updated_input: '"evil"',
      created_at: 2 ** 50,
      decided_by: 'local',
    })
    expect(await world.get('a')).toEqual(asked)
    expect((await world.list()).approvals).toEqual([asked])
    expect((await world.list({ status: 'approved' })).approvals).toEqual([])
    expect(await world.decide('a')).toMatchObject({ updated_input: null })
  })
})

import { expect, it } from 'vitest'

import { DENY, openWorld, settle } from '../../../test/daemon/approvals/world.ts'
import { createManualClock } from '../../testing/manual-clock.ts'

const worldAt = () => {
  const clock = createManualClock(1_700_000_000_000)
  return { clock, world: openWorld({ clock }) }
}
/** Whether it has an answer yet. */
const isOpen = async (promise: Promise<unknown>): Promise<boolean> => {
  await settle()
  return (await Promise.race([promise.then(() => 'done'), settle().then(() => 'open')])) === 'open'
}

it('answers who waits at the decision, and no sooner', async () => {
  const { world } = worldAt()
  using _ = world
  const asking = world.ask({ id: 'a' }, 60)
  await settle()
  const waiting = [asking, world.get('a', 60), world.ask({ id: 'a' }, 30)]
  await settle()
  expect(world.approvals.waiting).toBe(3)
  expect(await isOpen(asking)).toBe(true)
  const decided = await world.decide('a', DENY)
  expect(await Promise.all(waiting)).toEqual([decided, decided, decided])
  expect(world.approvals.waiting).toBe(0)
  expect(await world.get('a', 60)).toEqual(decided)
})

it('answers the state when its time is over', async () => {
  const { clock, world } = worldAt()
  using _ = world
  const asking = world.ask({ id: 'a' }, 5)
  await settle()
  clock.elapse(4_999)
  expect(await isOpen(asking)).toBe(true)
  clock.elapse(1)
  expect(await asking).toMatchObject({ status: 'pending' })
  expect(await world.get('a', 0)).toMatchObject({ status: 'pending' })
})

it('D3: waits before the approval can be seen: who decides at the first event of it finds the waiter', async () => {
  const { world } = worldAt()
  using _ = world
  const found: number[] = []
  // As a stream of events would: within the very turn in which the approval appears.
  const { database, approvals } = world
  const seen = (): void => void found.push(approvals.waiting)
  database.function('seen', () => (seen(), 0))
  database.exec('CREATE TRIGGER sees AFTER INSERT ON approvals BEGIN SELECT seen(); END')
  const asking = world.ask({ id: 'a' }, 60)
  await settle()
  expect(found).toEqual([1])
  await world.decide('a')
  expect(await asking).toMatchObject({ status: 'approved' })
})

it('does not wait for what a rule decided', async () => {
  const { world, clock } = worldAt()
  using _ = world
  const rule = await world.rule({ action: 'allow', tool_name: 'Bash', command: 'npm test' })
  await world.rule({ action: 'deny', tool_name: 'Bash', command_prefix: 'curl', note: 'no network' })
  expect(await world.ask({ tool_input: { command: 'npm test' } }, 60)).toMatchObject({
    status: 'approved',
    decided_by: `rule:${rule.id}`,
  })
  expect(await world.ask({ tool_input: { command: 'npm test; curl evil' } }, 60)).toMatchObject({
    status: 'denied',
    comment: 'no network',
  })
  expect([world.approvals.waiting, clock.pending.length]).toEqual([0, 1])
})

it('ends a wait by its signal and by the end of the daemon, with the state as it is', async () => {
  const { world } = worldAt()
  using _ = world
  const gone = new AbortController()
  const waiting = world.ask({ id: 'a' }, 60, gone.signal)
  await settle()
  gone.abort()
  expect(await waiting).toMatchObject({ id: 'a', status: 'pending' })
  expect(await world.ask({ id: 'b' }, 60, gone.signal)).toMatchObject({ id: 'b', status: 'pending' })
  const others = [world.get('a', 60), world.get('b', 60)]
  await settle()
  const after = world.reopen()
  expect((await Promise.all(others)).map(({ status }) => status)).toEqual(['pending', 'pending'])
  const again = after.get('a', 60)
  await after.decide('a')
  expect(await again).toMatchObject({ status: 'approved' })
  expect(await after.reopen().get('a', 60)).toMatchObject({ status: 'approved' })
})

it('lets thousands wait, on one and on many, and keeps nothing of them', async () => {
  const { clock, world } = worldAt()
  using _ = world
  let listeners = 0
  const signal = new AbortController().signal
  const { addEventListener, removeEventListener } = signal
  signal.addEventListener = (...args: Parameters<typeof addEventListener>) => (
    listeners++,
    addEventListener.apply(signal, args)
  )
  signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => (
    listeners--,
    removeEventListener.apply(signal, args)
  )
  for (const id of ['a', 'b', 'c']) await world.ask({ id })
  const waiting = Array.from({ length: 1_000 }, (_none, n) =>
    world.get(['a', 'b', 'c'][n % 3] ?? '', 60, signal),
  )
  await settle()
  expect([world.approvals.waiting, listeners]).toEqual([1_000, 1_000])
  await world.decide('a')
  await world.cancel('b')
  clock.elapse(60_000)
  const ends = (await Promise.all(waiting)).map(({ status }) => status)
  expect(new Set(ends)).toEqual(new Set(['approved', 'cancelled', 'pending']))
  expect([world.approvals.waiting, listeners]).toEqual([0, 0])
  await world.decide('c')
  clock.elapse(1_000_000)
  expect(clock.pending).toEqual([])
})

it('leaves no wait behind where asking is refused', async () => {
  const { world } = worldAt()
  using _ = world
  await world.ask({ id: 'a' })
  await expect(world.ask({ id: 'a', context: 'x' }, 60)).rejects.toMatchObject({ code: 'approval_differs' })
  await expect(world.get('none', 60)).rejects.toMatchObject({ code: 'not_found' })
  expect(world.approvals.waiting).toBe(0)
})

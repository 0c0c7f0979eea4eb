import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

import { afterEach, beforeEach, expect, test } from 'vitest'

import { randomInt, seededRandom } from '../../../src/kernel/random.ts'
import type { Approval } from '../../../src/protocol/approvals.ts'
import { openWorld } from './world.ts'

/** D1 and D3 over kill −9: nothing lost that was answered, never two answers, a waiter that comes again gets the decision. */

interface Line {
  readonly command: string
  readonly id?: string
  readonly approval?: Approval
  readonly code?: string
  readonly details?: { readonly status?: string; readonly decided_at?: number; readonly decided_by?: string }
}

interface Daemon {
  readonly child: ChildProcess
  readonly lines: Line[]
  say(text: string): void
  /** Resolves at a line of which this is true, also where it came before; null: the process ended without it. */
  heard(which: (line: Line) => boolean): Promise<Line | null>
  kill(): Promise<void>
}

let folder = ''
const running = new Set<ChildProcess>()
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidemark-killed-'))
})
afterEach(async () => {
  for (const child of running) {
    child.kill('SIGKILL')
    await once(child, 'exit').catch(() => {})
  }
  rmSync(folder, { recursive: true, force: true })
})

async function start(): Promise<Daemon> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'deciding-process.ts'), folder], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  running.add(child)
  const lines: Line[] = []
  const listeners = new Set<() => void>()
  let ended = false
  const tell = (): void => listeners.forEach((listener) => listener())
  const reader = createInterface({ input: child.stdout })
  // A line that was cut by the kill was not answered.
  reader.on('line', (text) => {
    try {
      lines.push(JSON.parse(text) as Line)
    } catch {
      return
    }
    tell()
  })
  const closed = Promise.all([once(reader, 'close'), once(child, 'exit')]).then(() => {
    ended = true
    running.delete(child)
    tell()
  })
  child.stdin.on('error', () => {})
  const daemon: Daemon = {
    child,
    lines,
    say: (text) => void child.stdin.write(`${text}\n`),
    heard: (which) =>
      new Promise((resolve) => {
        const look = (): void => {
          const found = lines.find(which)
          if (found === undefined && !ended) return
          listeners.delete(look)
          resolve(found ?? null)
        }
        listeners.add(look)
        look()
      }),
    kill: async () => {
      child.kill('SIGKILL')
      await closed
    },
  }
  await daemon.heard(({ command }) => command === 'ready')
  return daemon
}

test('D1, D3: killed in the middle of decisions, again and again', async () => {
  const random = seededRandom(4)
  /** What anybody was answered, by id: the one decision there is. */
  const answered = new Map<string, Pick<Approval, 'status' | 'decided_at' | 'decided_by'>>()
  const asked = new Set<string>()
  const remember = (line: Line): void => {
    const { id = '', approval, details } = line
    if (approval !== undefined) asked.add(id)
    const status = approval?.status ?? details?.status
    if (status === undefined || status === 'pending') return
    const decision = approval ?? (details as Approval)
    const { decided_at, decided_by } = decision
    expect(answered.get(id) ?? { status, decided_at, decided_by }).toEqual({ status, decided_at, decided_by })
    answered.set(id, { status: decision.status, decided_at, decided_by })
  }
  let before: readonly string[] = []
  let unheard = 0
  for (let round = 0; round < 20; round++) {
    const daemon = await start()
    // Waiters of before the kill come again: for what was answered, for what was decided unheard, and for what was not.
    for (const id of before) {
      daemon.say(`wait ${id}\ndeny ${id}`)
      const waited = await daemon.heard((line) => line.command === 'wait' && line.id === id)
      const decision = answered.get(id)
      if (decision === undefined) unheard++
      else expect(waited?.approval).toMatchObject(decision)
      expect(waited?.approval?.status).toMatch(/approved|denied|cancelled/)
    }
    const ids = Array.from({ length: 4 }, (_, n) => `r${round}-${n}`)
    for (const id of ids) daemon.say(`ask ${id}\nwait ${id}`)
    await daemon.heard(({ command, id }) => command === 'ask' && id === ids[3])
    for (const id of ids)
      for (const way of ['approve', 'deny', 'cancel'].sort(() => random.next() - 0.5))
        daemon.say(`${way} ${id}`)
    const stopAt = randomInt(random, 12)
    await daemon.heard(
      () => daemon.lines.filter(({ command }) => /approve|deny|cancel/.test(command)).length >= stopAt,
    )
    await daemon.kill()
    daemon.lines.forEach(remember)
    before = ids.filter((id) => asked.has(id))
  }
  // Kills came at every time: before decisions, between, after.
  expect([unheard > 5, answered.size - unheard > 20]).toEqual([true, true])

  using world = openWorld({ folder })
  for (const id of asked) {
    const found = await world.get(id)
    const decision = answered.get(id)
    if (decision !== undefined) expect(found).toMatchObject(decision)
  }
  // Each decision has its one event and its one line of the audit, whether or not anybody heard of it.
  const decided = world.database
    .prepare("SELECT id FROM approvals WHERE status <> 'pending' ORDER BY id")
    .pluck()
    .all()
  const events = world.events().filter(({ type }) => type === 'approval_resolved')
  expect(events.map(({ record_id }) => record_id).sort()).toEqual(decided)
  expect(world.database.prepare('SELECT approval_id FROM audit ORDER BY approval_id').pluck().all()).toEqual(
    decided,
  )
  expect(world.database.pragma('integrity_check', { simple: true })).toBe('ok')
})

test('D1: of two processes on one daemon.db one decides each', async () => {
  const daemons = [await start(), await start()] as const
  const ids = Array.from({ length: 60 }, (_, n) => `a${n}`)
  for (const id of ids) daemons[0].say(`ask ${id}`)
  await daemons[0].heard(({ command, id }) => command === 'ask' && id === ids.at(-1))
  // What the other process asked can be asked again here, and is the same.
  daemons[1].say('ask a0')
  expect((await daemons[1].heard(({ command }) => command === 'ask'))?.approval?.id).toBe('a0')
  for (const id of ids) {
    daemons[0].say(`approve ${id}\ncancel ${id}`)
    daemons[1].say(`deny ${id}\napprove ${id}`)
  }
  for (const { heard } of daemons) {
    let count = 0
    expect(await heard(({ command, id }) => id === ids.at(-1) && command !== 'ask' && ++count > 0)).not.toBe(
      null,
    )
  }
  const all = () =>
    daemons.flatMap(({ lines }) => lines.filter(({ command }) => /approve|deny|cancel/.test(command)))
  for (const daemon of daemons)
    await daemon.heard(
      () =>
        daemon.lines.filter(({ command }) => /approve|deny|cancel/.test(command)).length === 2 * ids.length,
    )
  for (const id of ids) {
    const lines = all().filter((line) => line.id === id)
    const won = lines.flatMap(({ approval }) => (approval === undefined ? [] : [approval]))
    expect([lines.length, won.length]).toEqual([4, 1])
    const [{ status, decided_at, decided_by }] = won as [Approval]
    for (const { code, details } of lines)
      if (code !== undefined)
        expect({ code, details }).toEqual({
          code: 'already_decided',
          details: { status, decided_at, decided_by },
        })
  }
  for (const daemon of daemons) await daemon.kill()
})

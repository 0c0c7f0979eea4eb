import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { MOVED_CHECKS } from '../../../../test/postgres/log-checks/moved.ts'
import { ORDER_CHECKS, PLAIN_CHECKS } from '../../../../test/postgres/log-checks/order.ts'
import { TOGETHER_CHECKS } from '../../../../test/postgres/log-checks/together.ts'
import { TOGETHER_FAULTS, type Fault } from '../../../../test/postgres/log-checks/together-faults.ts'
import { openLogNodes, type LogNodes } from '../../../../test/postgres/log-nodes.ts'
import { decideAgain } from '../../../../test/postgres/serial/again.ts'
import { runSerial } from '../../../../test/postgres/serial/run.ts'
import { beginTelling } from '../../../../test/postgres/serial/told.ts'
import { LOG_FIRST } from './schema.ts'

const CHECKS = { ...MOVED_CHECKS, ...ORDER_CHECKS, ...PLAIN_CHECKS, ...TOGETHER_CHECKS }

const FAULTS: { readonly [name: string]: Fault } = {
  'a commit without the lock': {
    in: 'commit_1',
    from: 'OFFSET 0 FOR UPDATE SKIP LOCKED)',
    to: 'OFFSET 0)',
    runs: true,
    check: 'I4: a reader between two commits skips nothing',
  },
  'versions of a sequence': {
    in: 'commit_1',
    from: 'OFFSET 0 FOR UPDATE SKIP LOCKED) s ON true;',
    to: `OFFSET 0 ) s ON true; hds := ARRAY[nextval('tidemark.wrong')];`,
    also: ['SET head = a.head + a.total', 'SET head = greatest(s.head, a.head + a.total)'],
    check: 'I4: a reader between two commits skips nothing',
  },
  'rows are not compared': {
    in: 'commit_1',
    from: 'AND coalesce(r.version, 0) <> x.v',
    to: 'AND false',
    runs: true,
    check: 'a row that others changed',
  },
  'rows are compared only where they are there by now': {
    in: 'commit_1',
    from: 'r.key = x.k OFFSET 0 ) r ON true',
    to: 'r.key = x.k OFFSET 0 ) r ON true AND x.v > 0',
    runs: true,
    check: 'a row that was not there',
  },
  'rows are compared only where the head rose': {
    in: 'commit_1',
    from: 'IF true = ANY(stale) THEN',
    to: `IF hds[1] <> coalesce(current_setting('tidemark.no', true), '4')::bigint THEN`,
    check: 'a tombstone that was dropped below the floor',
  },
  'holders are not compared': {
    in: 'commit_1',
    from: 'AND c.key IS DISTINCT FROM h.k',
    to: 'AND false',
    runs: true,
    check: 'a unique value that others took',
  },
  'holders are compared as if null were equal to all': {
    in: 'commit_1',
    from: 'AND c.key IS DISTINCT FROM h.k',
    to: 'AND c.key <> h.k',
    runs: true,
    check: 'a unique value that others let go',
  },
  'the floor is not compared': {
    in: 'commit_1',
    from: ' AND s.floor = a.floor',
    to: '',
    check: 'the floor',
  },
  "replicas' mutations are not compared": {
    in: 'commit_1',
    from: 'WHERE coalesce(r.mutation, 0) <> m.last',
    to: 'WHERE false',
    runs: true,
    check: 'I13: another mutation of the same number, by another node',
  },
  "a replica's first mutation is not compared": {
    in: 'commit_1',
    from: 'WHERE coalesce(r.mutation, 0) <> m.last',
    to: 'WHERE m.last > 0 AND coalesce(r.mutation, 0) <> m.last',
    check: 'I13: another mutation of the same number, by another node',
  },
  'the generation is not compared': {
    in: 'commit_1',
    from: ' AND s.generation = a.gen',
    to: '',
    runs: true,
    check: 'I11: a generation that was begun',
  },
  'no mark is compared': {
    in: 'commit_1',
    from: 's.fresh AND ',
    to: '',
    check: 'I11: a database that was started since',
  },
  'the mark of the row is not compared': {
    in: 'commit_1',
    from: ' AND s.xmin = s.wrote::xid',
    to: '',
    check: 'I11: a space that was put back from a dump',
  },
  'rows are written once only': {
    in: 'commit_1',
    from: 'fields = excluded.fields;',
    to: 'fields = excluded.fields WHERE false;',
    runs: true,
    check: 'a row is written again, and read as it is then',
  },
  'values are taken before any is let go': {
    in: 'commit_1',
    from: '',
    to: '',
    swap: ['IF dt IS NOT NULL THEN', 'IF tt IS NOT NULL THEN', '-- Each is there by now'],
    runs: true,
    check: 'rows swap a unique value',
  },
  'values are not let go': {
    in: 'commit_1',
    from: 'IF dt IS NOT NULL THEN',
    to: 'IF false THEN',
    runs: true,
    check: 'rows swap a unique value',
  },
  'ages count from the head before': {
    in: 'commit_1',
    from: 'tidemark.absolute_1(x.a, thd[x.t] + x.o)',
    to: 'tidemark.absolute_1(x.a, thd[x.t])',
    runs: true,
    check: 'nothing but the head: ages, claims and the kept answer count from where it is by then',
  },
  'claims count from the head before': {
    in: 'commit_1',
    from: 'tidemark.absolute_1(x.c, thd[x.t] + x.o)',
    to: 'tidemark.absolute_1(x.c, thd[x.t])',
    runs: true,
    check: 'nothing but the head: ages, claims and the kept answer count from where it is by then',
  },
  'the kept answer counts from another head': {
    in: 'commit_1',
    from: 'm.hashes, hds[m.s], m.answer',
    to: 'm.hashes, hds[m.s] - 1, m.answer',
    runs: true,
    check: 'nothing but the head: ages, claims and the kept answer count from where it is by then',
  },
  'the last mutation is not kept': {
    in: 'commit_1',
    from: 'SET mutation = excluded.mutation, hashes = excluded.hashes',
    to: 'SET hashes = excluded.hashes',
    runs: true,
    check: 'I3, I13: the last mutation is known by its bytes',
  },
  'replicas are locked as they come': {
    in: 'commit_1',
    from: 'ORDER BY sps[m.s], m.id COLLATE "C"',
    to: '',
    check: 'acknowledgements and a commit take replicas in one order',
  },
  'live rows are not counted': {
    in: 'commit_1',
    from: 'live = t.live + excluded.live',
    to: 'live = t.live',
    runs: true,
    check: 'I3: the same mutation, by another node',
  },
  'tombstones are not counted': {
    in: 'commit_1',
    from: 'buried = t.buried + excluded.buried',
    to: 'buried = t.buried',
    runs: true,
    check: 'nothing is written while tombstones are collected',
  },
  'a push forgets what was acknowledged': {
    in: 'commit_1',
    from: 'coalesce(excluded.acked, r.acked)',
    to: 'excluded.acked',
    check: 'what was acknowledged stands where a push says nothing of it',
  },
  'a space alone is written without the lock': {
    in: 'commit_1',
    from: 'OFFSET 0 FOR UPDATE)',
    to: 'OFFSET 0)',
    check: 'I7: what is too large to share waits for the lock, and finds what was written meanwhile',
  },
  ...TOGETHER_FAULTS,
  'a pull of several moments': {
    in: 'pull_1',
    from: 'STABLE',
    to: 'VOLATILE',
    check: 'I4: a pull is of one moment',
  },
  'a view of several moments': {
    in: 'view_1',
    from: 'STABLE',
    to: 'VOLATILE',
    runs: true,
    check: 'I4: a view is of one moment',
  },
  'a replica never hears of what it wrote': {
    in: 'pull_1',
    from: ' OR r.version > p.high',
    to: '',
    check: 'what a replica wrote comes back to it where it has not seen so far',
  },
  'a replica hears of all that it wrote': {
    in: 'pull_1',
    from: 'own.no IS NULL OR r.writer <> own.no',
    to: 'true',
    check: 'what a replica wrote comes back to it where it has not seen so far',
  },
  'a generation is begun without looking again': {
    in: 'begin_generation_1',
    from: '(fresh AND NOT always)',
    to: 'false',
    check: 'I11: of eight who meet another life of the database one begins its generation',
  },
  'a generation is begun without the lock': {
    in: 'begin_generation_1',
    from: ' FOR UPDATE',
    to: '',
    check: 'I11: of eight who meet another life of the database one begins its generation',
  },
  'a hydrate begins without the lock': {
    in: 'begin_generation_1',
    from: ' FOR UPDATE',
    to: '',
    check: 'the floor does not pass a hydrate that begins',
  },
  'tombstones are collected without the lock': {
    in: 'begin_generation_1',
    from: ' FOR UPDATE',
    to: '',
    check: 'nothing is written while tombstones are collected',
  },
}

/** How many runs each mistake may take that they notice; none otherwise, since they take a while. */
const RUNS = Number(process.env['TIDEMARK_SERIAL_FAULTS'] ?? 0)

let nodes: LogNodes
beforeAll(async () => {
  nodes = await openLogNodes()
  await nodes.admin.query('CREATE SEQUENCE tidemark.wrong MINVALUE 0 START 0')
})
afterAll(() => nodes[Symbol.asyncDispose]())

function textOf(name: string): string {
  const [, rest] = LOG_FIRST.split(`CREATE FUNCTION tidemark.${name}(`)
  const body = /^[\s\S]*?\$\$[\s\S]*?\$\$;/.exec(rest ?? '')?.[0]
  if (body === undefined) throw new Error(`no function ${name}`)
  return `CREATE OR REPLACE FUNCTION tidemark.${name}(${body}`
}

function withFault({ in: name, from, to, also, swap }: Fault): string {
  const text = textOf(name)
  if (also !== undefined) return text.replaceAll(from, to).replaceAll(...also)
  if (swap === undefined) return text.replaceAll(from, to)
  const [first, second, end] = swap.map((part) => text.indexOf(part)) as [number, number, number]
  return text.slice(0, first) + text.slice(second, end) + text.slice(first, second) + text.slice(end)
}

/** On a space of its own, while the function has that text. */
async function withText(fault: Fault, work: (own: LogNodes, space: string) => Promise<void>): Promise<void> {
  await using own = await openLogNodes(nodes)
  const space = await own.space()
  await nodes.admin.query(withFault(fault))
  try {
    await work(own, space)
  } finally {
    await nodes.admin.query(textOf(fault.in))
  }
}

describe('mistakes in the SQL, each of which a check notices', () => {
  for (const [name, fault] of Object.entries(FAULTS)) {
    test(name, async () => {
      expect(withFault(fault)).not.toBe(textOf(fault.in))
      const check = CHECKS[fault.check]
      if (check === undefined) throw new Error(`there is no check ${fault.check}`)
      await withText(fault, async (own, space) => {
        await expect(check(own, space)).rejects.toThrow()
      })
    })
  }
})

/** Whether any of the runs notices it. */
async function isNoticed(fault: Fault): Promise<boolean> {
  for (let seed = 1; seed <= RUNS; seed++) {
    const noticed = await withText(fault, async (own, space) => {
      const run = await runSerial(own, space, { seed, nodes: 4, replicas: 12, mutations: 30 })
      await decideAgain(own, space, run)
    }).then(
      () => false,
      () => true,
    )
    if (noticed) return true
  }
  return false
}

if (RUNS > 0)
  describe('mistakes in the SQL that runs of several nodes notice', () => {
    beforeAll(() => beginTelling(nodes.admin))
    for (const [name, fault] of Object.entries(FAULTS)) {
      if (fault.runs === true)
        test(name, { timeout: 600_000 }, async () => expect(await isNoticed(fault)).toBe(true))
    }
  })

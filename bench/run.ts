/**
 * `npm run bench [-- NAME…] [-- --rows N]`: the targets, measured. Every figure comes from this run, beside what
 * this machine does with the same rows and no sync; compare ratios, not absolute numbers, between machines.
 */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { measureAgents } from './agents.ts'
import { buildBench } from './build.ts'
import { measureCapture } from './capture.ts'
import type { Handle, LibraryTimes } from './library.ts'
import { n, peakMiB, perSecond, type Moved, type Print, type Times } from './figures.ts'
import { makeCities, makeNotes, measurePlain, startRig, type Rig } from './rig.ts'
import { measureNodes } from './nodes.ts'
import { measurePolls } from './polls.ts'
import { measurePostgres } from './postgres.ts'
import { measureSearch } from './search.ts'
import { measureWriters } from './writers.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rows: { type: 'string' },
    seconds: { type: 'string' },
    spaces: { type: 'string' },
    json: { type: 'boolean' },
  },
})
const rows = Number(values.rows ?? 100_000)
/** What takes long, or a PostgreSQL: measured when it is asked for by name. */
const APART: { readonly [name: string]: (print: Print) => Promise<void> } = {
  postgres: (print) => measurePostgres(rows, print),
  nodes: (print) => measureNodes(print, Number(values.seconds ?? 60), Number(values.spaces ?? 100)),
  polls: measurePolls,
  search: (print) => measureSearch(Number(values.rows ?? 1_000_000), print),
  agents: measureAgents,
}
const wanted = (name: string): boolean => positionals.length === 0 || positionals.includes(name)

interface Row {
  readonly work: string
  readonly measured: string
  readonly target: string
}
const table: Row[] = []
const print: Print = (work, measured, target) => {
  table.push({ work, measured, target })
  if (values.json !== true) console.log(`${work.padEnd(46)} ${measured.padEnd(48)} target ${target}`)
}
/** Upload and hydrate of a file of so many rows; both files are left for what follows. */
async function uploadAndHydrate(
  rig: Rig,
  count: number,
  report: boolean,
): Promise<{ readonly a: string; readonly b: string; readonly space: string }> {
  const space = `cities-${count}`
  const a = join(rig.folder, `a-${count}.db`)
  const b = join(rig.folder, `b-${count}.db`)
  makeCities(a, count)
  const plain = measurePlain(a)
  const bytes = statSync(a).size
  const up = await rig.client<Moved>('upload', { file: a, space })
  const cloudUp = peakMiB(rig.cloudPid)
  const down = await rig.client<Moved>('hydrate', { file: b, space })
  if (!report) return { a, b, space }
  print('plain prepared INSERT, SELECT', `${n(plain.insert)}, ${n(plain.select)} rows/s`, '-')
  print(
    `first upload of ${n(up.rows)} rows`,
    `${n(perSecond(up.rows, up.ms))} rows/s, ${(perSecond(up.rows, up.ms) / plain.insert).toFixed(2)} of INSERT`,
    '≥ 50,000 rows/s',
  )
  print(
    `first hydrate of ${n(down.rows)} rows`,
    `${n(perSecond(down.rows, down.ms))} rows/s, ${(perSecond(down.rows, down.ms) / plain.insert).toFixed(2)} of INSERT`,
    '≥ 100,000 rows/s, ≥ 0.25',
  )
  print(
    'peak memory: upload, hydrate, cloud',
    `${up.rss}, ${down.rss}, ${Math.max(cloudUp, peakMiB(rig.cloudPid))} MiB`,
    '≤ 150 MiB each',
  )
  const notes = join(rig.folder, 'notes.db')
  makeNotes(notes, 20_000)
  const notesBytes = statSync(notes).size
  await rig.client<Moved>('upload', { file: notes, space: 'notes' })
  print(
    'file size after upload: text rows, short columns',
    `${(statSync(notes).size / notesBytes).toFixed(2)} ×, ${(statSync(a).size / bytes).toFixed(2)} ×`,
    '≤ 1.5 × for text rows',
  )
  return { a, b, space }
}

buildBench()
if (positionals.length === 0 || positionals.some((name) => !Object.hasOwn(APART, name))) {
  await using rig = await startRig()
  const { a, b, space } = await uploadAndHydrate(rig, rows, wanted('move'))
  if (wanted('changes')) {
    const times = await rig.client<Times>('changes', { file: a, other: b, space })
    print(
      '100 changed rows pushed and pulled',
      `p50 ${times.p50.toFixed(1)} ms, p99 ${times.p99.toFixed(1)} ms`,
      '≤ 25 ms',
    )
    print('longest lock held meanwhile', `${times.lockMs.toFixed(1)} ms`, '≤ 20 ms typical')
  }
  if (wanted('latency')) {
    for (const [label, same, target] of [
      ['same process', 1, 'p50 ≤ 5 ms, p99 ≤ 30 ms'],
      ['another process', 0, 'p50 ≤ 150 ms'],
    ] as const) {
      const times = await rig.client<Times>('latency', {
        file: a,
        other: b,
        space,
        rows: same,
        rounds: same === 1 ? 200 : 50,
      })
      print(
        `one change, written by the ${label}`,
        `p50 ${times.p50.toFixed(1)} ms, p99 ${times.p99.toFixed(1)} ms`,
        target,
      )
    }
  }
  if (wanted('scale')) {
    const small = await uploadAndHydrate(rig, 10_000, false)
    const large = await uploadAndHydrate(rig, 1_000_000, false)
    const few = await rig.client<Times>('changes', { file: small.a, other: small.b, space: small.space })
    const many = await rig.client<Times>('changes', { file: large.a, other: large.b, space: large.space })
    print(
      '100 changed rows, 1M rows against 10k',
      `ratio ${(many.p50 / few.p50).toFixed(2)} (${many.p50.toFixed(1)} ms, ${few.p50.toFixed(1)} ms)`,
      '≤ 1.3',
    )
    const idle = await rig.client<{ readonly core: number; readonly rss: number; readonly maxRss: number }>(
      'idle',
      { file: large.a, space: large.space },
    )
    print(
      'idle, 1M rows, after a restart',
      `${idle.rss} MiB, ${(idle.core * 100).toFixed(2)} % of a core`,
      '< 100 MiB, < 0.5 %',
    )
  }
  if (wanted('library')) {
    const measure = async (handle: Handle) => {
      const file = join(rig.folder, `library-${handle}.db`)
      makeCities(file, rows)
      return rig.client<LibraryTimes>('library', { file, space: `library-${handle}`, handle })
    }
    const [plain, knex] = [await measure('better-sqlite3'), await measure('knex')]
    for (const [handle, times] of [
      ['better-sqlite3', plain],
      ['Knex', knex],
    ] as const) {
      print(
        `library, ${handle}: seed, hydrate`,
        `${n(perSecond(times.rows, times.seedMs))}, ${n(perSecond(times.rows, times.hydrateMs))} rows/s`,
        '-',
      )
      print(`library, ${handle}: sync of 100 changed rows`, `p50 ${times.p50.toFixed(1)} ms`, '-')
    }
    const ratio = (time: keyof LibraryTimes) => (knex[time] / plain[time]).toFixed(2)
    print(
      'library, Knex against better-sqlite3',
      `seed ${ratio('seedMs')}, hydrate ${ratio('hydrateMs')}, 100 changes ${ratio('p50')}`,
      '≤ 1.2',
    )
  }
  if (wanted('writers')) {
    const pushes = await measureWriters(rig, { writers: 16, seconds: 5 })
    print('pushes a second in one space, 16 writers', n(Math.round(pushes)), '≥ 1,500')
  }
}
if (wanted('capture')) {
  for (const { work, ratio, target } of measureCapture())
    print(`capture: ${work}`, `${ratio.toFixed(2)} ×`, target)
}
for (const name of positionals) await APART[name]?.(print)
if (values.json === true) console.log(JSON.stringify(table))

import { join } from 'node:path'

import { startPostgres } from '../test/postgres/server.ts'
import { n, peakMiB, perSecond, type Moved, type Print, type Times } from './figures.ts'
import { makeCities, startRig, type Rig } from './rig.ts'
import { measureWriters } from './writers.ts'

const WRITERS = 16
const SECONDS = 5

/**
 * The cloud on PostgreSQL beside the one in a file, by turns in one run. Both are durable: PostgreSQL with fsync and
 * synchronous_commit on and its other settings as they come, on this machine, over loopback.
 */
export async function measurePostgres(rows: number, print: Print): Promise<void> {
  await using server = await startPostgres()
  await using postgres = await startRig({ database: server.url, nodes: 2 })
  await using embedded = await startRig()
  const kinds = [
    { name: 'embedded', rig: embedded, upload: '≥ 50,000 rows/s', pushes: '≥ 1,500' },
    { name: 'PostgreSQL', rig: postgres, upload: '≥ 25,000 rows/s', pushes: '≥ 800' },
  ] as const
  const files = new Map<Rig, { readonly a: string; readonly b: string }>()
  for (const { name, rig, upload } of kinds) {
    const [a, b] = [join(rig.folder, 'a.db'), join(rig.folder, 'b.db')]
    files.set(rig, { a, b })
    makeCities(a, rows)
    const up = await rig.client<Moved>('upload', { file: a, space: 'cities' })
    const down = await rig.client<Moved>('hydrate', { file: b, space: 'cities' })
    print(`${name}: first upload of ${n(up.rows)} rows`, `${n(perSecond(up.rows, up.ms))} rows/s`, upload)
    print(`${name}: first hydrate`, `${n(perSecond(down.rows, down.ms))} rows/s`, '-')
    print(`${name}: peak memory of the node`, `${peakMiB(rig.cloudPid)} MiB`, '-')
  }
  for (const { name, rig } of kinds) {
    const { a, b } = files.get(rig) ?? { a: '', b: '' }
    const changes = await rig.client<Times>('changes', { file: a, other: b, space: 'cities' })
    print(`${name}: 100 changed rows pushed and pulled`, times(changes), '-')
    const input = { file: a, other: b, space: 'cities', rows: 1, rounds: 100 }
    print(`${name}: one change, A to B`, times(await rig.client<Times>('latency', input)), '-')
    const otherUrl = rig.nodes[1]?.url
    if (otherUrl === undefined) continue
    const through = await rig.client<Times>('latency', { ...input, otherUrl })
    print(`${name}: one change, A to B through two nodes`, times(through), '-')
  }
  for (const { name, rig, pushes } of kinds) {
    for (const spaces of [1, WRITERS]) {
      const rate = await measureWriters(rig, { writers: WRITERS, seconds: SECONDS, spaces })
      const where = spaces === 1 ? 'in one space' : `over ${spaces} spaces`
      print(
        `${name}: pushes a second ${where}, ${WRITERS} writers`,
        n(Math.round(rate)),
        spaces === 1 ? pushes : '-',
      )
    }
  }
}

const times = ({ p50, p99 }: Times): string => `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`

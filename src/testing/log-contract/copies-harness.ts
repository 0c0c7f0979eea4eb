import type { CopiedRecord, CopiedReplica, CopiedSpace, SpaceCopy } from '../../cloud/log/copy.ts'
import type { Log } from '../../cloud/log/log.ts'
import { del, put, Reader, row, SPACE, START, type LogHarness } from './harness.ts'

export interface Content {
  readonly space: CopiedSpace
  readonly records: readonly CopiedRecord[]
  readonly replicas: readonly CopiedReplica[]
}

export async function readCopy(copy: SpaceCopy): Promise<Content> {
  const records: CopiedRecord[] = []
  const replicas: CopiedReplica[] = []
  for await (const page of copy.pages()) {
    if (page.records.length > 0 && replicas.length > 0) throw new Error('a record after the replicas')
    records.push(...page.records)
    replicas.push(...page.replicas)
  }
  return { space: copy.space, records, replicas }
}

export async function contentOf(log: Log, space = SPACE): Promise<Content> {
  await using copy = await log.copySpace(space)
  // Not without waiting: it is disposed of first.
  return await readCopy(copy)
}

/** Where a copy of `content` comes from somewhere else, a page for each record. */
export const copyOf = ({ space, records, replicas }: Content): SpaceCopy => ({
  space,
  async *pages() {
    for (const record of records) yield { records: [record], replicas: [] }
    yield { records: [], replicas }
  },
})

/** Everything but the generation that the import began. */
export const withoutLast = ({ space, ...rest }: Content): Content => ({
  ...rest,
  space: { ...space, generations: space.generations.slice(0, -1) },
})

export const COPY = 'space-2'

/** A space with something of everything that a log keeps. */
export async function fill({ log, time }: LogHarness): Promise<void> {
  const a = new Reader(log, 'a')
  const b = new Reader(log, 'b')
  await log.putSchema(SPACE, [
    { name: 't', key: ['id'], columns: [{ name: 'id', type: 'TEXT' }], unique: [], foreignKeys: [] },
  ])
  await a.start()
  await b.start()
  await a.write(
    put(
      '1',
      0,
      { z: 'é\u{1f600}', a: 1, constructor: { $int: '9007199254740993' } },
      { claims: { i: 'one' } },
    ),
    put('2', 0, { x: 1 }, { claims: { i: 'two', j: 'two' } }),
    put('3', 0, {}, { table: 'u "\n' }),
    put('4', 0, { x: 1 }),
    put('gone', 0, { x: 1 }, { claims: { i: 'gone' } }),
  )
  await b.pullAll()
  await b.write(put('1', 1, { a: 2 }), put('2', 2, { x: 2 }, { claims: { j: null } }))
  time.advance(1_000)
  await a.pullAll()
  await a.write(del('4', 4), del('gone', 5))
  await log.collect(SPACE, { liveSince: START + 2_000, retainSince: 0 })
  time.advance(1_000)
  await a.write(put('5', 0, { x: 1 }, { was: 77, hlc: 1 }), del('6', 0, { was: 78, hlc: 1 }))
  await a.push([{ ...put('7', 0, { x: { $bytes: 'AAEC' } }), sealed: 'key-1' }, put('1', 1, { a: 3 })])
  await b.start()
  await log.batch(SPACE, [row('8', { x: null }, START)])
}

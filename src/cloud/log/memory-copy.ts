import { TidemarkError } from '../../kernel/errors.ts'
import { COPY_PAGE_RECORDS, type CopiedRecord, type CopyPage, type OpenCopy, type SpaceCopy } from './copy.ts'
import type { MemoryReplica, MemoryRow, SpaceImage } from './memory-space.ts'
import { listClaims, rowId } from './standing.ts'
import { compareText } from './text-order.ts'

/** An image is never changed, so it is a moment by itself. */
export function copyImage(image: SpaceImage): OpenCopy {
  const { rows, replicas, ...space } = image
  return {
    space: { ...space, records: rows.size, replicas: replicas.size },
    async *pages() {
      const records = [...rows.values()]
        .map(({ standing, buriedAt }): CopiedRecord => ({ ...standing, buriedAt }))
        .sort((a, b) => a.record.version - b.record.version)
      for (let at = 0; at < records.length; at += COPY_PAGE_RECORDS)
        yield { records: records.slice(at, at + COPY_PAGE_RECORDS), replicas: [] }
      yield { records: [], replicas: listReplicas(replicas) }
    },
    async [Symbol.asyncDispose]() {},
  }
}

const listReplicas = (replicas: ReadonlyMap<string, MemoryReplica>): CopyPage['replicas'] =>
  [...replicas]
    .sort(([a], [b]) => compareText(a, b))
    .map(([id, { last, answer, acked, seen }]) => ({
      id,
      mutation: last.number,
      hashes: last.hashes,
      answer,
      acked,
      seen,
    }))

/** The image of a copied space, to the end of the copy, with a generation that begins at its head. */
export async function imageOfCopy(copy: SpaceCopy, generation: string): Promise<SpaceImage> {
  const { epoch, head, floor, schema, tables } = copy.space
  const generations = [...copy.space.generations, { id: generation, start: head }]
  const rows = new Map<string, MemoryRow>()
  const versions = new Set<number>()
  const holders = new Set<string>()
  const replicas = new Map<string, MemoryReplica>()
  for await (const page of copy.pages()) {
    for (const { record, was, claims, buriedAt } of page.records) {
      const row = rowId(record.table, record.key)
      const values = listClaims(claims).map(({ index, value }) => `${record.table}\0${index}\0${value}`)
      if (rows.has(row) || versions.has(record.version))
        throw new TidemarkError('unprocessable', 'two records have one place')
      if (values.some((value) => holders.has(value)))
        throw new TidemarkError('unprocessable', 'two records hold the same unique value')
      for (const value of values) holders.add(value)
      versions.add(record.version)
      rows.set(row, { standing: { record, was, claims }, buriedAt })
    }
    for (const { id, mutation, hashes, answer, acked, seen } of page.replicas) {
      replicas.set(id, { acked, seen, last: { number: mutation, hashes }, answer, staged: [] })
    }
  }
  return { epoch, generations, head, floor, schema, tables, rows, replicas }
}

/** Nothing is in it, and it has given no version that somebody could know. */
export const isEmptyImage = (image: SpaceImage | undefined): boolean =>
  image === undefined || (image.head === 0 && image.rows.size === 0)

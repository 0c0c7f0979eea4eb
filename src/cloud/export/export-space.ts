import type { SpaceCopy } from '../log/copy.ts'
import type { ExportDigest } from './digest.ts'
import { headerLine, recordLine, replicaLine, type ExportLine } from './lines.ts'

/** The text of an export, some lines at a time; `digest` has seen all of them at the end, where it says so itself. */
export async function* exportTexts(copy: SpaceCopy, digest: ExportDigest): AsyncGenerator<string, void> {
  const header = headerLine(copy.space)
  digest.header(header)
  yield textOf([header])
  for await (const page of copy.pages()) {
    const records = page.records.map(recordLine)
    const replicas = page.replicas.map(replicaLine)
    digest.addRecords(records)
    digest.addReplicas(replicas)
    yield textOf([...records, ...replicas])
  }
  yield textOf([digest.end()])
}

const textOf = (lines: readonly ExportLine[]): string =>
  lines.map((line) => `${JSON.stringify(line)}\n`).join('')

/** The same copy, while somebody is told how many records have passed. What they throw ends it. */
export function watchCopy(copy: SpaceCopy, passed: (records: number) => void): SpaceCopy {
  return {
    space: copy.space,
    async *pages() {
      let records = 0
      for await (const page of copy.pages()) {
        passed((records += page.records.length))
        yield page
      }
    },
  }
}

import { TidemarkError } from '../../kernel/errors.ts'
import type { CopyPage, SpaceCopy } from '../log/copy.ts'
import { LineChecker, refuseLine } from './check-lines.ts'
import { ExportDigest } from './digest.ts'
import { lineToRecord, lineToReplica, type EndLine, type RecordLine, type ReplicaLine } from './lines.ts'
import { splitLines } from './split-lines.ts'

/**
 * The space in an exported text, as it comes in; rejects when the first line is not that of an export. Its pages end
 * only once the whole text has been seen and is what was exported, and throw `not_an_export` otherwise: who takes
 * them in one transaction takes all or nothing.
 */
export async function readExport(
  pieces: AsyncIterable<Uint8Array>,
): Promise<SpaceCopy & { readonly end: () => EndLine }> {
  const batches = splitLines(pieces)
  const first = await batches.next()
  const lines = first.done === true ? [] : first.value
  const checker = new LineChecker()
  const digest = new ExportDigest()
  const header = checker.header(lines[0] ?? '')
  digest.header(header)
  let told: EndLine | null = null

  const readBatch = (texts: readonly string[]): CopyPage => {
    const records: RecordLine[] = []
    const replicas: ReplicaLine[] = []
    for (const text of texts) {
      if (told !== null) throw new TidemarkError('not_an_export', 'The file goes on after its end')
      const line = checker.read(text)
      if ('end' in line) told = line
      else if ('replica' in line) replicas.push(line)
      else records.push(line)
    }
    digest.addRecords(records)
    digest.addReplicas(replicas)
    return { records: records.map(lineToRecord), replicas: replicas.map(lineToReplica) }
  }

  const checkEnd = (): void => {
    if (told === null) throw new TidemarkError('not_an_export', 'The file ends before the export does')
    const { records, replicas, hash, sha256 } = digest.end()
    if (
      told.records !== records ||
      told.replicas !== replicas ||
      told.sha256 !== sha256 ||
      told.hash !== hash
    )
      throw new TidemarkError('not_an_export', 'The file is not as it was exported: its hash is another one')
    if (header.records !== records || header.replicas !== replicas)
      throw refuseLine(1, 'it counts other records or replicas than there are')
  }

  return {
    space: header,
    async *pages() {
      try {
        if (lines.length > 1) yield readBatch(lines.slice(1))
        for await (const texts of batches) yield readBatch(texts)
        checkEnd()
      } finally {
        await batches.return(undefined)
      }
    },
    end() {
      if (told === null) throw new TidemarkError('invariant', 'the end of an export before it was read')
      return told
    },
  }
}

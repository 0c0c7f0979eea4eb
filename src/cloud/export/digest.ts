import { createHash } from 'node:crypto'

import { canonicalJson } from '../../kernel/values.ts'
import type { CopyPage, SpaceCopy } from '../log/copy.ts'
import {
  headerLine,
  recordLine,
  replicaLine,
  type EndLine,
  type HeaderLine,
  type RecordLine,
  type ReplicaLine,
} from './lines.ts'

/**
 * Counts and hashes the lines of an export as they pass, in their order. Canonical JSON, so that neither the order
 * in which a driver keeps columns nor a space in the file matters.
 */
export class ExportDigest {
  readonly #all = createHash('sha256')
  readonly #held = createHash('sha256')
  #end: EndLine | null = null
  records = 0
  replicas = 0

  header(line: HeaderLine): void {
    this.#all.update(`${canonicalJson(line)}\n`)
    // What the space holds is the same in another cloud, whose generations and readers are its own.
    const { generations: _generations, replicas: _replicas, ...held } = line
    this.#held.update(`${canonicalJson(held)}\n`)
  }

  addRecords(lines: readonly RecordLine[]): void {
    if (lines.length === 0) return
    const text = textOf(lines)
    this.#all.update(text)
    this.#held.update(text)
    this.records += lines.length
  }

  addReplicas(lines: readonly ReplicaLine[]): void {
    if (lines.length === 0) return
    this.#all.update(textOf(lines))
    this.replicas += lines.length
  }

  /** After the last line. */
  end(): EndLine {
    const { records, replicas } = this
    return (this.#end ??= {
      end: true,
      records,
      replicas,
      hash: this.#held.digest('hex'),
      sha256: this.#all.digest('hex'),
    })
  }
}

const textOf = (lines: readonly (RecordLine | ReplicaLine)[]): string =>
  lines.map((line) => `${canonicalJson(line)}\n`).join('')

/** What an export of this copy would end with. */
export async function digestCopy(copy: SpaceCopy): Promise<EndLine> {
  const digest = new ExportDigest()
  digest.header(headerLine(copy.space))
  for await (const page of copy.pages()) addPage(digest, page)
  return digest.end()
}

function addPage(digest: ExportDigest, { records, replicas }: CopyPage): void {
  digest.addRecords(records.map(recordLine))
  digest.addReplicas(replicas.map(replicaLine))
}

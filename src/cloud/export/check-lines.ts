import type { TSchema, Static } from 'typebox'
import { Compile } from 'typebox/compile'

import { TidemarkError } from '../../kernel/errors.ts'
import { checkTexts } from '../../http/check.ts'
import { fieldsFault, keyFault, sizeFault, tableFault } from '../log/faults.ts'
import {
  EndLine,
  EXPORT_FORMAT,
  EXPORT_VERSION,
  HeaderLine,
  RecordLine,
  ReplicaLine,
  type ExportLine,
} from './lines.ts'

/** Refuses a line, by its number and the rule it breaks: never by what stands in it. */
export function refuseLine(line: number, why: string): TidemarkError {
  return new TidemarkError('not_an_export', `Line ${line} of the file: ${why}`, { details: { line } })
}

const readers = {
  header: Compile(HeaderLine),
  record: Compile(RecordLine),
  replica: Compile(ReplicaLine),
  end: Compile(EndLine),
}

/**
 * Reads the lines of an export one by one and lets through only what a log could have held: a file may come from
 * anywhere, and what an import lets in every replica reads. Throws `not_an_export`, and `needs_upgrade` for a file of
 * a newer program.
 */
export class LineChecker {
  #line = 0
  #head = 0
  #version = 0
  #replica = ''
  #hasReplicas = false

  header(text: string): HeaderLine {
    this.#line++
    const value = this.#parse(text)
    const { format, version } = value
    if (format !== EXPORT_FORMAT) throw this.#refuse('it does not say that this is an exported space')
    if (typeof version === 'number' && version > EXPORT_VERSION)
      throw new TidemarkError('needs_upgrade', 'The file was exported by a newer version of Tidemark')
    const header = this.#fit(readers.header, value)
    const { generations, head, floor } = header
    if (floor > head) throw this.#refuse('its floor is above its head')
    if (new Set(generations.map(({ id }) => id)).size < generations.length)
      throw this.#refuse('it names a generation twice')
    for (const [at, { start }] of generations.entries()) {
      if (start > head || start < (generations[at - 1]?.start ?? 0))
        throw this.#refuse('its generations are not in order')
    }
    this.#texts(header)
    this.#head = head
    return header
  }

  /** Any line after the first. */
  read(text: string): Exclude<ExportLine, HeaderLine> {
    this.#line++
    const value = this.#parse(text)
    if (Object.hasOwn(value, 'table')) return this.#record(this.#fit(readers.record, value), text)
    if (Object.hasOwn(value, 'replica')) return this.#reader(this.#fit(readers.replica, value))
    return this.#fit(readers.end, value)
  }

  #record(line: RecordLine, text: string): RecordLine {
    const { table, key, version, fields, deleted, buriedAt, since, fieldVersions, claims } = line
    if (this.#hasReplicas) throw this.#refuse('a record after the replicas')
    if (version <= this.#version || version > this.#head)
      throw this.#refuse('its version is not between that of the line before and the head')
    this.#version = version
    const fault = tableFault(table) ?? keyFault(key) ?? (fields === undefined ? null : fieldsFault(fields))
    if (fault !== null) throw this.#refuse(fault.message)
    // The text of the fields is no longer than the line, as a rule.
    const size = fields === undefined ? null : sizeFault(text) && sizeFault(JSON.stringify(fields))
    if (size !== null) throw this.#refuse(size.message)
    if (deleted === true) {
      if (
        buriedAt === undefined ||
        [fields, since, fieldVersions, line.sealed].some((part) => part !== undefined)
      )
        throw this.#refuse('a deleted record has a time, and nothing of the row')
    } else if (fields === undefined || buriedAt !== undefined) {
      throw this.#refuse('a record has fields, or is deleted')
    }
    if (since === undefined && fieldVersions !== undefined)
      throw this.#refuse('ages of fields without the age of the rest')
    const ages = [since, ...Object.values(fieldVersions ?? {})].map((age) => age?.[0] ?? 0)
    const touched = Object.values(claims ?? {}).map(([, at]) => at)
    if (ages.some((age) => age > version) || touched.some((at) => at > version))
      throw this.#refuse('a part of the record is newer than the record')
    this.#texts({ fieldVersions, claims })
    return line
  }

  #reader(line: ReplicaLine): ReplicaLine {
    const { replica, mutation, hashes, acked, answer } = line
    if (replica <= this.#replica) throw this.#refuse('the replicas are not in order')
    this.#replica = replica
    this.#hasReplicas = true
    if (hashes.length === 0 && mutation > 0) throw this.#refuse('a mutation without its hash')
    const past = answer.some((kept) => {
      const last = kept[0] === 0 ? kept[1] + kept[2] - 1 : kept[0] === 1 || kept[0] === 5 ? kept[1] : 0
      return last > this.#head
    })
    const lost = answer.find(
      (kept) => kept[0] === 1 && kept[4] !== undefined && fieldsFault(kept[4]) !== null,
    )
    if (lost !== undefined) throw this.#refuse('values that no row can have')
    if (past || (acked ?? 0) > this.#head) throw this.#refuse('a replica that is ahead of the space')
    this.#texts({ hashes, answer })
    return line
  }

  #parse(text: string): { readonly [name: string]: unknown } {
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch {
      // The engine's own message quotes the text, which may be a row value.
      throw this.#refuse('no JSON')
    }
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return value as { readonly [name: string]: unknown }
    throw this.#refuse('no JSON object')
  }

  #fit<T extends TSchema>(reader: ReturnType<typeof Compile<T>>, value: unknown): Static<T> {
    if (reader.Check(value)) return value
    throw this.#refuse(reader.Errors(value)[0]?.message ?? 'does not fit')
  }

  /** Every other text has been looked at, or can only be plain by its pattern. */
  #texts(parts: unknown): void {
    try {
      checkTexts(parts)
    } catch (cause) {
      throw cause instanceof TidemarkError ? this.#refuse('a text holds NUL or a lone surrogate') : cause
    }
  }

  #refuse(why: string): TidemarkError {
    return refuseLine(this.#line, why)
  }
}

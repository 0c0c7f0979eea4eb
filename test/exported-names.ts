import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

import { scanSource } from '../scripts/scan-source.ts'

/** What an entry file exports: names that exist when the program runs, and names of types only. */
export interface Exports {
  readonly values: readonly string[]
  readonly types: readonly string[]
}

/** Reads the export statements of a file; `export * from` is followed. */
export function listExports(file: string): Exports {
  const values = new Set<string>()
  const types = new Set<string>()
  const { code, imports } = scanSource(readFileSync(file, 'utf8'))

  for (const [, type, list = ''] of code.matchAll(/\bexport\s+(type\s+)?\{([^}]*)\}/g)) {
    for (const item of list.split(',').map((text) => text.trim())) {
      if (item === '') continue
      const name = item.replace(/^type\s+/, '').replace(/^.*\sas\s+/, '')
      ;(type !== undefined || item.startsWith('type ') ? types : values).add(name)
    }
  }
  for (const [, kind = '', name = ''] of code.matchAll(
    /\bexport\s+(?:declare\s+)?(?:abstract\s+)?(?:async\s+)?(const|let|function\*?|class|interface|type)\s+([\w$]+)/g,
  )) {
    ;(kind === 'interface' || kind === 'type' ? types : values).add(name)
  }
  for (const found of code.matchAll(/\bexport\s+(type\s+)?\*\s*from/g)) {
    const line = code.slice(0, found.index).split('\n').length
    const specifier = imports.find((one) => one.line >= line)?.specifier
    if (specifier === undefined) throw new Error(`${file}: export * without a file`)
    const inner = listExports(join(dirname(file), specifier))
    for (const name of inner.values) (found[1] === undefined ? values : types).add(name)
    for (const name of inner.types) types.add(name)
  }
  return { values: [...values].sort(), types: [...types].filter((name) => !values.has(name)).sort() }
}

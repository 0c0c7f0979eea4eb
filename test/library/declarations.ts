import { readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

import { scanSource } from '../../scripts/scan-source.ts'

/** A declaration that the public names reach, as the compiler wrote it, without its comments. */
export interface Declaration {
  /** Below the folder of the build, without `.d.ts`. */
  readonly file: string
  readonly name: string
  readonly text: string
}

export interface PublicTypes {
  /** By name. */
  readonly declarations: readonly Declaration[]
  /** Packages whose types are needed. */
  readonly packages: readonly string[]
}

interface DeclarationFile {
  /** Local name → text of all its declarations. */
  readonly own: ReadonlyMap<string, string>
  /** Name → where it comes from; re-exports too. */
  readonly imported: ReadonlyMap<string, { readonly specifier: string; readonly name: string }>
}

/** Follows the names that a built entry file exports, from declaration to declaration. */
export function readPublicTypes(folder: string, entry: string): PublicTypes {
  const files = new Map<string, DeclarationFile>()
  const read = (path: string): DeclarationFile => {
    const known = files.get(path) ?? parseDeclarations(readFileSync(path, 'utf8'))
    files.set(path, known)
    return known
  }
  const found = new Map<string, Declaration>()
  const packages = new Set<string>()
  const visit = (path: string, name: string): void => {
    const { own, imported } = read(path)
    const text = own.get(name)
    const source = imported.get(name)
    if (text === undefined) {
      if (source?.specifier.startsWith('.') === true)
        visit(join(dirname(path), source.specifier.replace(/\.[jt]s$/, '.d.ts')), source.name)
      else if (source !== undefined) packages.add(source.specifier)
      return
    }
    const file = relative(folder, path).replace(/\.d\.ts$/, '')
    const id = `${file} ${name}`
    if (found.has(id)) return
    found.set(id, { file, name, text })
    for (const [word] of scanSource(text).code.matchAll(/[A-Za-z_$][\w$]*/g)) visit(path, word)
  }
  const path = join(folder, entry)
  for (const name of read(path).imported.keys()) visit(path, name)
  return {
    declarations: [...found.values()].sort((a, b) =>
      `${a.name} ${a.file}` < `${b.name} ${b.file}` ? -1 : 1,
    ),
    packages: [...packages].sort(),
  }
}

/** Top-level statements of a file that tsc wrote: each begins at the start of a line. */
function parseDeclarations(source: string): DeclarationFile {
  const own = new Map<string, string>()
  const imported = new Map<string, { readonly specifier: string; readonly name: string }>()
  const plain = source.replace(/\/\*[^]*?\*\//g, '').replace(/^[ \t]*\n/gm, '')
  for (const statement of plain.split(/\n(?=[a-z])/)) {
    const [, whole, list = '', specifier] =
      /^(?:import|export)\s+(?:type\s+)?(?:(\w+)(?:,\s*)?)?(?:\{([^}]*)\}\s*)?from\s*'([^']+)'/.exec(
        statement,
      ) ?? []
    if (specifier !== undefined) {
      if (whole !== undefined) imported.set(whole, { specifier, name: 'default' })
      for (const item of list.split(',').map((text) => text.trim().replace(/^type\s+/, ''))) {
        const [name = '', local = name] = item.split(/\s+as\s+/)
        if (name !== '') imported.set(local, { specifier, name })
      }
      continue
    }
    const [, name] =
      /^(?:export\s+)?(?:declare\s+)?(?:abstract\s+)?(?:const|let|function|class|interface|type)\s+([\w$]+)/.exec(
        statement,
      ) ?? []
    if (name === undefined) {
      if (/^export \{\};?\s*$/.test(statement)) continue
      throw new Error(`not understood: ${statement.slice(0, 80)}`)
    }
    own.set(name, [own.get(name), statement.trim()].filter((text) => text !== undefined).join('\n'))
  }
  return { own, imported }
}

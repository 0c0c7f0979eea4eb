#!/usr/bin/env node
// Plain JavaScript that any Node parses: the version is checked before anything else is loaded, because the
// SQLite driver crashes on older ones without a word, and Node 23 has less than the last of 22. The text is row
// `node_too_old` of the error table.
import { existsSync } from 'node:fs'

const [major, minor] = process.versions.node.split('.').map(Number)

if (major < 22 || (major === 22 && minor < 19) || major === 23) {
  process.stderr.write(
    'error: This version of Node.js is too old (' +
      process.version +
      ')\n' +
      'Install Node.js 24 or newer, or a 22 from 22.19 on.\n',
  )
  process.exitCode = 1
} else {
  // A checkout runs its sources, so that an old build never answers for them; a package has only the build.
  const source = new URL('../src/cli/main.ts', import.meta.url)
  void import(existsSync(source) ? source.href : new URL('../dist/cli/main.js', import.meta.url).href)
}

export type Environment = { readonly [name: string]: string | undefined }

/** The first of these variables that says something: an empty one, or one of blanks, is as good as none. */
export function findVariable(
  names: readonly string[],
  env: Environment,
): { readonly variable: string; readonly text: string } | null {
  for (const variable of names) {
    const text = env[variable]?.trim() ?? ''
    if (text !== '') return { variable, text }
  }
  return null
}

/** The profile that the environment names; null: none. */
export const findProfile = (env: Environment): { readonly variable: string; readonly text: string } | null =>
  findVariable(['TIDEMARK_PROFILE', 'CLANKERS_PROFILE'], env)

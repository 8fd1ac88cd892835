export type MigrationEngine = 'sqlite' | 'postgres'

BEGIN TRANSACTION;
CREATE TABLE datasets (
	path VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	description VARCHAR NOT NULL, 
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	created_at VARCHAR NOT NULL, 
	updated_at VARCHAR NOT NULL, 
	UNIQUE (path)
);
INSERT INTO "datasets" VALUES('cats','cats','',1,'2026-11-21T04:13:00.114Z','2026-11-21T04:13:00.114Z');
CREATE TABLE entities (
	kind VARCHAR NOT NULL, 
	dataset_id INTEGER NOT NULL, 
	path VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	hash VARCHAR NOT NULL, 
	mime VARCHAR NOT NULL, 
	size INTEGER NOT NULL, 
	mtime_ns INTEGER NOT NULL, 
	width INTEGER NOT NULL, 
	height INTEGER NOT NULL, 
	missing BOOLEAN NOT NULL, 
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	created_at VARCHAR NOT NULL, 
	updated_at VARCHAR NOT NULL, 
	FOREIGN KEY(dataset_id) REFERENCES datasets (id), 
	UNIQUE (path)
);
INSERT INTO "entities" VALUES('image',1,'cats/gone.png','gone.png','x','image/png',1,1,3,2,0,1,'2026-11-21T04:13:00.116Z','2026-11-21T04:13:00.116Z');
CREATE TABLE figures (
	entity_id INTEGER NOT NULL, 
	class_id INTEGER NOT NULL, 
	geometry_type VARCHAR NOT NULL, 
	geometry JSON NOT NULL, 
	bbox JSON NOT NULL, 
	area DOUBLE NOT NULL, 
	meta JSON NOT NULL, 
	tags JSON NOT NULL, 
	description VARCHAR NOT NULL, 
	nn_created BOOLEAN NOT NULL, 
	nn_updated BOOLEAN NOT NULL, 
	created_by VARCHAR NOT NULL, 
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	created_at VARCHAR NOT NULL, 
	updated_at VARCHAR NOT NULL, 
	FOREIGN KEY(entity_id) REFERENCES entities (id), 
	FOREIGN KEY(class_id) REFERENCES object_classes (id)
);
INSERT INTO "figures" VALUES(1,1,'bitmap','{"bitmap": {}}','[0, 0, 1, 1]',4.0,'{}','[]','',0,0,'owner',1,'2026-11-21T04:13:00.117Z','2026-11-21T04:13:00.117Z');
CREATE TABLE members (
	login VARCHAR NOT NULL, 
	token_sha256 VARCHAR NOT NULL, 
	dataset_ids JSON, 
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	created_at VARCHAR NOT NULL, 
	updated_at VARCHAR NOT NULL, 
	UNIQUE (login), 
	UNIQUE (token_sha256)
);
CREATE TABLE object_classes (
	title VARCHAR NOT NULL, 
	shape VARCHAR NOT NULL, 
	color VARCHAR NOT NULL, 
	hotkey VARCHAR NOT NULL, 
	description VARCHAR NOT NULL, 
	geometry_config JSON NOT NULL, 
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	created_at VARCHAR NOT NULL, 
	updated_at VARCHAR NOT NULL, 
	UNIQUE (title)
);
INSERT INTO "object_classes" VALUES('cat','bitmap','#112233','','','{}',1,'2026-11-21T04:13:00.114Z','2026-11-21T04:13:00.114Z');
CREATE TABLE projects (
	name VARCHAR NOT NULL, 
	meta_settings JSON NOT NULL, 
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	created_at VARCHAR NOT NULL, 
	updated_at VARCHAR NOT NULL
);
INSERT INTO "projects" VALUES('media','{}',1,'2026-11-21T04:13:00.115Z','2026-11-21T04:13:00.115Z');
CREATE TABLE task_fields (
	name VARCHAR NOT NULL, 
	payload JSON, 
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	created_at VARCHAR NOT NULL, 
	updated_at VARCHAR NOT NULL, 
	UNIQUE (name)
);
CREATE TABLE team_files (
	path VARCHAR NOT NULL, 
	hash VARCHAR NOT NULL, 
	size INTEGER NOT NULL, 
	mime VARCHAR NOT NULL, 
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	created_at VARCHAR NOT NULL, 
	updated_at VARCHAR NOT NULL, 
	UNIQUE (path)
);
INSERT INTO "team_files" VALUES('/a.txt','eA==',1,'text/plain',1,'2026-11-21T04:13:00.117Z','2026-11-21T04:13:00.117Z');
CREATE INDEX ix_entities_hash ON entities (hash);
CREATE INDEX ix_entities_dataset_id ON entities (dataset_id);
CREATE INDEX figures_of_entity ON figures (entity_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('datasets',1);
INSERT INTO "sqlite_sequence" VALUES('object_classes',1);
INSERT INTO "sqlite_sequence" VALUES('projects',1);
INSERT INTO "sqlite_sequence" VALUES('entities',1);
INSERT INTO "sqlite_sequence" VALUES('figures',1);
INSERT INTO "sqlite_sequence" VALUES('team_files',1);
COMMIT;
PRAGMA user_version=1;

-- What the source had and this recovery point has not, counted: tables, views, and everything else.
ALTER TABLE points ADD COLUMN left_out_tables BIGINT NOT NULL DEFAULT 0;
ALTER TABLE points ADD COLUMN left_out_views BIGINT NOT NULL DEFAULT 0;
ALTER TABLE points ADD COLUMN left_out_others BIGINT NOT NULL DEFAULT 0;

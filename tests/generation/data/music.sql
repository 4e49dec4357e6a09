/* A music store in SQLite; after the well-known example of Chinook. */
PRAGMA foreign_keys = OFF;
ATTACH DATABASE 'elsewhere.db' AS elsewhere;
CREATE TABLE [Artist] ([ArtistId] INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, [Name] NVARCHAR(120));
CREATE TABLE [Album]
(
    [AlbumId] INTEGER NOT NULL,
    [Title] NVARCHAR(160)  NOT NULL,
    [ArtistId] INTEGER  NOT NULL,
    [Rating] INTEGER CHECK ([Rating] IN (1, 2, 3)),
    CONSTRAINT [PK_Album] PRIMARY KEY  ([AlbumId]),
    FOREIGN KEY ([ArtistId]) REFERENCES [Artist] ([ArtistId])
		ON DELETE NO ACTION ON UPDATE NO ACTION
);
CREATE TABLE IF NOT EXISTS main.Track (
    TrackId INTEGER PRIMARY KEY,
    Name NVARCHAR(200) NOT NULL,
    AlbumId INTEGER REFERENCES album (albumid),
    MediaType TEXT CHECK (MediaType IN ('MPEG audio', 'AAC; protected') OR MediaType IS NULL),
    Milliseconds INTEGER NOT NULL CHECK (Milliseconds > 0),
    UnitPrice NUMERIC(10,2) NOT NULL,
    Explicit BOOLEAN,
    Notes
) WITHOUT ROWID;
CREATE TABLE Playlist (PlaylistId INTEGER PRIMARY KEY, Name NVARCHAR(120)) STRICT;
CREATE TABLE PlaylistTrack (
    PlaylistId INTEGER NOT NULL REFERENCES Playlist,
    TrackId INTEGER NOT NULL REFERENCES Track
);
CREATE INDEX [IFK_AlbumArtistId] ON [Album] ([ArtistId]);
CREATE TRIGGER t AFTER INSERT ON Playlist BEGIN DELETE FROM Album; INSERT INTO Artist VALUES (1, 'x;'); END;

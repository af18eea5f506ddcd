INSERT INTO note (body) VALUES ('Butter');
